// Reads what arrays.py wrote: base64 of deflated little-endian values.
"use strict";

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };

async function unpack({ type, data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const values = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new ARRAYS[type](await new Response(values).arrayBuffer());
}

// (3 N) coordinates in metres.
async function unpackPoints({ low, step, steps }) {
  const grid = await unpack(steps);
  const points = new Float32Array(grid.length);
  for (let i = 0; i < points.length; i++) points[i] = low[i % 3] + grid[i] * step[i % 3];
  return points;
}

async function unpackMesh(mesh) {
  const [vertices, faces, colors] = await Promise.all([
    unpackPoints(mesh.vertices), unpack(mesh.faces), mesh.colors ? unpack(mesh.colors) : null,
  ]);
  return { vertices, faces, colors };
}
