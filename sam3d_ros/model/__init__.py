"""The networks of SAM 3D in torch: from a picture to occupancy, layout, mesh and Gaussians.

Reading order: `preprocess` -> `dino`, `point_patch`, `condition` -> `block`, `geometry` -> `flow` ->
`occupancy`, `voxels`, `pose_codec` -> `tables`, `sparse`, `texture` -> `slat_trunk`, `decode_mesh`,
`flexicubes`, `decode_gaussian` -> `scene`. `published` and `convert` read the published checkpoints.

`preprocess`, `flow`, `voxels`, `tables`, `pose_codec` and `config` need numpy alone and start without torch.
"""
