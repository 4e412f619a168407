#!/bin/sh
# Makes sam3d_ros/view/three.bundle.min.js: the parts of three.js that the result page uses, as one script that sets the
# global THREE. The bundle is checked in; run this only to change a version or the list of names. Needs node and npm.
#
#   scripts/vendor_three.sh
set -eu
THREE=0.187.0
ESBUILD=0.28.2

view=$(cd "$(dirname "$0")/../sam3d_ros/view" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --save-exact "three@$THREE" "esbuild@$ESBUILD"

cat >entry.js <<'JS'
export {
  AxesHelper, BackSide, Box3, BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, EdgesGeometry,
  GridHelper, Group, HemisphereLight, LineBasicMaterial, LineSegments, Matrix4, Mesh, MeshBasicMaterial,
  MeshLambertMaterial, PerspectiveCamera, Points, Raycaster, Scene, ShaderMaterial, SRGBColorSpace, Texture, Vector2,
  Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { toCreasedNormals } from "three/addons/utils/BufferGeometryUtils.js";
JS

# The licence asks to travel with every copy, and every page written is one: it opens the bundle as a comment.
{ echo "/*! three.js $THREE"; cat node_modules/three/LICENSE; echo "*/"; } >banner.txt
npx esbuild entry.js --bundle --minify --format=iife --global-name=THREE --target=es2022 --charset=utf8 \
  --legal-comments=none --log-level=warning --outfile=bundle.js
cat banner.txt bundle.js >"$view/three.bundle.min.js"
cp node_modules/three/LICENSE "$view/three.LICENSE"
wc -c "$view/three.bundle.min.js"
