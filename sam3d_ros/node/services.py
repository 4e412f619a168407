"""The node's services: ~/get_mesh, ~/enable, ~/clear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from sam3d_ros.mesh.export import encode
from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.msg import ObjectMesh
from sam3d_ros.node import publish
from sam3d_ros.node.convert import flat
from sam3d_ros.node.outputs import Outputs
from sam3d_ros.srv import GetMesh

FILE_FORMATS = {
    ObjectMesh.FORMAT_GLB: "glb",
    ObjectMesh.FORMAT_PLY: "ply",
    ObjectMesh.FORMAT_OBJ: "obj",
    ObjectMesh.FORMAT_STL: "stl",
}


class Services:
    """`enable(bool)` switches the stream, `clear()` forgets all objects."""

    def __init__(
        self, node: Node, outputs: Outputs, enable: Callable[[bool], None], clear: Callable[[], None]
    ) -> None:
        self._node = node
        self._outputs = outputs
        self._switch = enable
        self._forget = clear
        self._services = [
            node.create_service(GetMesh, "~/get_mesh", self._get_mesh),
            node.create_service(SetBool, "~/enable", self._enable),
            node.create_service(Trigger, "~/clear", self._clear),
        ]

    def close(self) -> None:
        for service in self._services:
            self._node.destroy_service(service)

    def _get_mesh(self, request: Any, response: Any) -> Any:
        known = self._outputs.mesh(request.id)
        if known is None:
            ids = ", ".join(self._outputs.known_ids()[-10:])
            response.message = f"no object '{request.id}'; known: {ids or 'none'}"
            return response
        if request.format != ObjectMesh.FORMAT_ARRAYS and request.format not in FILE_FORMATS:
            response.message = f"format {request.format} is unknown; see ObjectMesh.FORMAT_*"
            return response
        mesh, sent = known
        if 0 < request.max_triangles < 4:
            response.message = f"a closed mesh has at least 4 triangles, not {request.max_triangles}"
            return response
        if request.max_triangles:
            mesh, reached = simplify(mesh, request.max_triangles)
            if not reached:
                response.message = f"{len(mesh.faces)} triangles: fewer would open the mesh"
        response.mesh = publish.mesh_message(mesh, sent.header, sent.id, sent.watertight, sent.uri)
        if request.format in FILE_FORMATS:
            data = np.frombuffer(encode(mesh, FILE_FORMATS[request.format]), np.uint8)
            response.mesh.vertices, response.mesh.triangles, response.mesh.colors = [], [], []
            response.mesh.format, response.mesh.data = request.format, flat(data, "u1")
        response.success = True
        return response

    def _enable(self, request: Any, response: Any) -> Any:
        self._switch(request.data)
        response.success = True
        response.message = "stream on" if request.data else "stream off; goals still work"
        return response

    def _clear(self, request: Any, response: Any) -> Any:
        self._forget()
        response.success, response.message = True, "all objects forgotten"
        return response
