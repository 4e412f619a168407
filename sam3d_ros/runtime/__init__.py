"""Running the networks: bundles of ONNX graphs, and the backends that execute them.

Reading order: `spec` (what a graph takes and gives) -> `bundle` (a folder with a manifest) -> `find` (where bundles
lie) -> `backend` (the protocol) -> `onnxruntime_backend`, `torch_backend`.

Nothing here loads torch, onnx, onnxruntime or tensorrt when it is imported.
"""
