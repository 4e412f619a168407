// What is drawn, as three.js objects: point clouds, meshes, rims, boxes, axes, the camera and the floor.
"use strict";

const CREASE = 0.7; // radians between faces that still look like one smooth surface
const MANY_FACES = 20000; // above this a mesh is smooth anyway, and creases and edges cost seconds

// sRGB bytes to the linear light three.js calculates in, at 16 bits so that dark colours keep their steps.
const LINEAR = Uint16Array.from({ length: 256 }, (_, i) => {
  const c = i / 255;
  return Math.round(65535 * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
});

// Points as large as the distance between neighbouring pixels where they are. Colours go to the screen as they are.
const POINT_VERTEX = `
  attribute vec3 tint;
  uniform vec3 sensor;
  uniform float spacing;
  uniform float height;
  varying vec3 vTint;
  void main() {
    vec4 seen = modelViewMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * seen;
    float size = spacing * distance(position, sensor) * projectionMatrix[1][1] * 0.5 * height / gl_Position.w;
    gl_PointSize = clamp(1.3 * size, 1.0, 40.0);
    vTint = tint;
  }`;
const POINT_FRAGMENT = `
  varying vec3 vTint;
  void main() { gl_FragColor = vec4(vTint, 1.0); }`;

// A rim around the selected mesh: its back faces, pushed outwards by some pixels.
const RIM_VERTEX = `
  uniform vec2 viewport;
  void main() {
    gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
    vec2 outwards = (normalMatrix * normal).xy;
    gl_Position.xy += outwards / max(length(outwards), 1e-6) * 7.0 / viewport * gl_Position.w;
  }`;
const RIM_FRAGMENT = `
  uniform vec3 color;
  void main() { gl_FragColor = vec4(color, 1.0); }`;

// `height` is a uniform shared by all clouds: that of the drawing, pixels.
function pointCloud({ positions, colors }, { sensor, spacing }, height) {
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3));
  geometry.setAttribute("tint", new THREE.BufferAttribute(colors, 3, true));
  const uniforms = { sensor: { value: new THREE.Vector3(...sensor) }, spacing: { value: spacing }, height };
  return new THREE.Points(geometry, new THREE.ShaderMaterial({
    uniforms, vertexShader: POINT_VERTEX, fragmentShader: POINT_FRAGMENT,
  }));
}

function surface({ vertices, faces, colors }) {
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(vertices, 3));
  geometry.setIndex(new THREE.BufferAttribute(faces, 1));
  if (colors) {
    const linear = new Uint16Array(colors.length);
    for (let i = 0; i < colors.length; i++) linear[i] = LINEAR[colors[i]];
    geometry.setAttribute("color", new THREE.BufferAttribute(linear, 3, true));
  }
  return geometry;
}

function shaded(geometry) {
  if (geometry.index.count <= 3 * MANY_FACES) return THREE.toCreasedNormals(geometry, CREASE);
  geometry.computeVertexNormals();
  return geometry;
}

function rim(geometry, color, viewport) {
  const smooth = geometry.clone();
  smooth.computeVertexNormals(); // without creases, so that the rim has no gaps
  const uniforms = { viewport, color: { value: new THREE.Color(color).convertLinearToSRGB() } };
  return new THREE.Mesh(smooth, new THREE.ShaderMaterial({
    uniforms, side: THREE.BackSide, vertexShader: RIM_VERTEX, fragmentShader: RIM_FRAGMENT,
  }));
}

// A mesh to look through, with its edges where they are few.
function translucent(mesh) {
  const geometry = shaded(surface({ ...mesh, colors: null }));
  const parts = [new THREE.Mesh(geometry, new THREE.MeshLambertMaterial({
    color: 0x1fbf75, transparent: true, opacity: 0.35, depthWrite: false, side: THREE.DoubleSide,
  }))];
  if (mesh.faces.length <= 3 * MANY_FACES) parts.push(segments(new THREE.EdgesGeometry(geometry, 30), 0x0b8f52));
  return parts;
}

function axes(length) {
  const lines = new THREE.AxesHelper(length);
  lines.material.depthTest = false; // seen inside the mesh they belong to
  lines.renderOrder = 1;
  return lines;
}

function floorGrid(height, cell, reach) {
  const cells = Math.ceil(reach / cell) * 2;
  const grid = new THREE.GridHelper(cells * cell, cells, 0x8793a5, 0x8793a5);
  Object.assign(grid.material, { transparent: true, opacity: 0.35, depthWrite: false });
  grid.rotation.x = Math.PI / 2; // three.js draws its grid around y
  grid.position.z = height;
  return grid;
}

function segments(geometry, color) {
  return new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color }));
}

function lineGeometry(pairs) {
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(pairs.flat(2)), 3));
  return geometry;
}

function boxEdges(size) {
  const corners = [...Array(8).keys()].map((i) => size.map((length, axis) => (((i >> axis) & 1) - 0.5) * length));
  const pairs = corners.flatMap((corner, i) =>
    [1, 2, 4].filter((bit) => !(i & bit)).map((bit) => [corner, corners[i | bit]]));
  return lineGeometry(pairs);
}

function frustum({ position, corners }, image) {
  const rays = corners.map((corner) => [position, corner]);
  const rectangle = corners.map((corner, i) => [corner, corners[(i + 1) % 4]]);
  const parts = [segments(lineGeometry([...rays, ...rectangle]), 0x7c8798)];
  if (image) {
    const texture = new THREE.Texture(image);
    texture.colorSpace = THREE.SRGBColorSpace;
    texture.needsUpdate = true;
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(corners.flat()), 3));
    geometry.setAttribute("uv", new THREE.BufferAttribute(new Float32Array([0, 1, 1, 1, 1, 0, 0, 0]), 2));
    geometry.setIndex([0, 2, 1, 0, 3, 2]);
    parts.push(new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ map: texture, side: THREE.DoubleSide })));
  }
  return parts;
}
