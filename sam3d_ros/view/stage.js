// The 3-D view. Coordinates come in the frame `view`: z up, x away from the camera, y left, metres.
"use strict";

const LAYERS = ["points", "objectPoints", "meshes", "truth", "boxes", "axes", "camera", "grid"];

class Stage {
  // Throws where the browser has no WebGL 2. onPick(id or null) is called when somebody clicks into the view.
  constructor(canvas, { onPick, onDraw, onThrough }) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.canvas = canvas;
    this.onDraw = onDraw;
    this.onThrough = onThrough;
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(40, 1, 0.01, 100);
    this.camera.up.set(0, 0, 1);
    this.layers = Object.fromEntries(LAYERS.map((name) => [name, new THREE.Group()]));
    this.rim = new THREE.Group();
    const above = new THREE.HemisphereLight(0xffffff, 0xb9c0cc, 2.1);
    above.position.set(0, 0, 1);
    const lamp = new THREE.DirectionalLight(0xffffff, 1.5);
    lamp.position.set(-0.5, 0.6, 1); // over the viewer's shoulder: it moves with the camera
    this.camera.add(lamp, lamp.target);
    lamp.target.position.set(0, 0, -1);
    this.scene.add(this.camera, above, this.rim, ...Object.values(this.layers));
    this.uniforms = { height: { value: 1 }, viewport: { value: new THREE.Vector2(1, 1) } };
    this.objects = new Map();
    this.frame = null;
    this.through = false;

    // Registered before the controls' own listeners: a drag while looking through the camera starts from there.
    for (const event of ["pointerdown", "wheel"]) canvas.addEventListener(event, () => this.leaveCamera());
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.enableDamping = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.controls.dampingFactor = 0.12;
    this.controls.listenToKeyEvents(canvas);
    this.controls.addEventListener("change", () => this.invalidate());
    this.controls.addEventListener("start", () => (this.flight = null));

    let pressed = [0, 0];
    canvas.addEventListener("pointerdown", (e) => (pressed = [e.clientX, e.clientY]));
    canvas.addEventListener("click", (e) => {
      if (Math.hypot(e.clientX - pressed[0], e.clientY - pressed[1]) < 5) onPick(this.pick(e));
    });
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  // Replaces everything by a frame's content and looks at it from the start, or through its camera if that was on.
  show(content) {
    const { through } = this;
    this.leaveCamera();
    for (const group of [this.rim, ...Object.values(this.layers)]) clear(group);
    this.objects.clear();
    this.frame = content.frame;
    const { frame, clouds, objects, image } = content;
    for (const [layer, cloud] of [["points", clouds.scene], ["objectPoints", clouds.objects]]) {
      if (cloud) this.layers[layer].add(pointCloud(cloud, frame.points, this.uniforms.height));
    }
    for (const object of objects) this.addObject(object);
    if (frame.camera) this.layers.camera.add(...frustum(frame.camera, image));
    this.grid = frame.floor === null ? null : niceLength(frame.radius / 4);
    if (this.grid) {
      this.layers.grid.add(floorGrid(frame.floor, this.grid, 3 * frame.radius));
    }
    this.camera.near = frame.radius / 100;
    this.camera.far = 100 + 400 * frame.radius;
    this.home(false);
    if (through) this.lookThroughCamera();
  }

  addObject({ id, color, pose, size, mesh, truth }) {
    const entry = { pose: matrix(pose), size, mesh: null };
    this.objects.set(id, entry);
    if (mesh) {
      const material = new THREE.MeshLambertMaterial(
        mesh.colors ? { vertexColors: true, side: THREE.DoubleSide } : { color, side: THREE.DoubleSide });
      entry.surface = surface(mesh);
      entry.mesh = placed(new THREE.Mesh(shaded(entry.surface), material), pose);
      entry.mesh.userData.id = id;
      this.layers.meshes.add(entry.mesh);
    }
    if (truth?.mesh) {
      for (const part of translucent(truth.mesh)) this.layers.truth.add(placed(part, truth.pose));
    }
    this.layers.boxes.add(placed(segments(boxEdges(size), color), pose));
    this.layers.axes.add(placed(axes(0.7 * Math.max(...size)), pose));
  }

  setLayer(name, visible) {
    this.layers[name].visible = visible;
    if (name === "meshes") this.rim.visible = visible;
    this.invalidate();
  }

  isEmpty(name) {
    return this.layers[name].children.length === 0;
  }

  // Draws a rim around one mesh; null for none.
  select(id, color) {
    clear(this.rim);
    const entry = this.objects.get(id);
    if (entry?.mesh) {
      this.rim.add(placed(rim(entry.surface, color, this.uniforms.viewport), entry.pose));
    }
    this.invalidate();
  }

  pick(event) {
    if (!this.layers.meshes.visible) return null;
    const area = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * 2 - 1;
    const y = 1 - ((event.clientY - area.top) / area.height) * 2;
    const ray = new THREE.Raycaster();
    ray.setFromCamera(new THREE.Vector2(x, y), this.camera);
    return ray.intersectObjects(this.layers.meshes.children, false)[0]?.object.userData.id ?? null;
  }

  // From above and left of the camera, every object in view.
  home(animated = true) {
    this.leaveCamera();
    const distance = (1.12 * this.frame.radius) / Math.sin(this.halfAngle());
    this.fly(new THREE.Vector3(-0.66, 0.56, 0.50).normalize().multiplyScalar(distance), new THREE.Vector3(), animated);
  }

  focus(id) {
    const entry = this.objects.get(id);
    if (!entry) return;
    this.leaveCamera();
    const center = new THREE.Vector3().setFromMatrixPosition(entry.pose);
    const distance = (0.8 * Math.hypot(...entry.size)) / Math.sin(this.halfAngle());
    const away = this.camera.position.clone().sub(this.controls.target).setLength(distance);
    this.fly(center.clone().add(away), center, true);
  }

  // Half of the narrower opening angle, radians.
  halfAngle() {
    const vertical = (this.camera.fov * Math.PI) / 360;
    return Math.min(vertical, Math.atan(Math.tan(vertical) * this.camera.aspect));
  }

  fly(position, target, animated) {
    if (!animated || !this.controls.enableDamping) {
      this.camera.position.copy(position);
      this.controls.target.copy(target);
      this.controls.update();
      return this.invalidate();
    }
    const from = [this.camera.position.clone(), this.controls.target.clone()];
    const started = performance.now();
    this.flight = () => {
      const share = Math.min((performance.now() - started) / 400, 1);
      const eased = share * share * (3 - 2 * share);
      this.camera.position.lerpVectors(from[0], position, eased);
      this.controls.target.lerpVectors(from[1], target, eased);
      if (share === 1) this.flight = null;
    };
    return this.invalidate();
  }

  // From where the camera was, with its lens: the drawing lies on the image pixel by pixel.
  lookThroughCamera() {
    const seen = this.frame.camera;
    if (!seen) return;
    this.flight = null;
    this.through = true;
    this.controls.enabled = false;
    this.camera.up.set(...seen.up);
    this.camera.position.set(...seen.position);
    this.camera.lookAt(new THREE.Vector3(...seen.position).add(new THREE.Vector3(...seen.forward)));
    this.project();
    this.onThrough(true);
    this.invalidate();
  }

  leaveCamera() {
    if (!this.through) return;
    this.through = false;
    this.controls.enabled = true;
    this.camera.up.set(0, 0, 1);
    const forward = new THREE.Vector3(...this.frame.camera.forward);
    // Turn around the point of the line of sight that is nearest to the objects.
    const depth = Math.max(-forward.dot(this.camera.position), this.frame.radius);
    this.controls.target.copy(this.camera.position).addScaledVector(forward, depth);
    this.project();
    this.controls.update();
    this.onThrough(false);
    this.invalidate();
  }

  // Where the camera's image lies on the canvas while looking through it, CSS pixels.
  imageArea() {
    const { clientWidth: W, clientHeight: H } = this.canvas;
    const { width, height } = this.frame.camera.image;
    const scale = Math.min(W / width, H / height);
    return { left: (W - width * scale) / 2, top: (H - height * scale) / 2, width: width * scale, height: height * scale };
  }

  project() {
    if (!this.through) {
      this.camera.updateProjectionMatrix();
      return;
    }
    // The image's edges, widened by what the canvas has beyond them.
    const { left, right, above, below } = this.frame.camera.edges;
    const { near, far } = this.camera;
    const area = this.imageArea();
    const sideways = ((right - left) * area.left) / area.width;
    const upwards = ((above - below) * area.top) / area.height;
    this.camera.projectionMatrix.makePerspective(
      near * (left - sideways), near * (right + sideways), near * (above + upwards), near * (below - upwards), near, far);
    this.camera.projectionMatrixInverse.copy(this.camera.projectionMatrix).invert();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.renderer.getDrawingBufferSize(this.uniforms.viewport.value);
    this.uniforms.height.value = this.uniforms.viewport.value.y;
    this.camera.aspect = width / height;
    this.project();
    if (this.frame) this.draw();
  }

  // Draws once in the next animation frame, however often it is asked; nothing is drawn while nothing changes.
  invalidate() {
    this.pending ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.pending);
    this.pending = null;
    if (this.flight) {
      this.flight();
      this.invalidate();
    }
    if (!this.through) this.controls.update();
    const camera = this.layers.camera;
    const shown = camera.visible;
    camera.visible = shown && !this.through;
    this.renderer.render(this.scene, this.camera);
    camera.visible = shown;
    this.onDraw(this);
  }

  // Where an object's label belongs, CSS pixels; null behind the viewer.
  labelPosition(id) {
    const { pose, size } = this.objects.get(id);
    const box = new THREE.Box3().setFromCenterAndSize(new THREE.Vector3(), new THREE.Vector3(...size)).applyMatrix4(pose);
    const top = box.getCenter(new THREE.Vector3()).setZ(box.max.z).project(this.camera);
    if (top.z > 1) return null;
    return [((top.x + 1) / 2) * this.canvas.clientWidth, ((1 - top.y) / 2) * this.canvas.clientHeight];
  }
}

function matrix(pose) {
  return new THREE.Matrix4().set(...pose.flat());
}

function placed(object, pose) {
  object.matrixAutoUpdate = false;
  object.matrix.copy(pose.isMatrix4 ? pose : matrix(pose));
  return object;
}

// The nearest of 1, 2, 5, 10, ... below.
function niceLength(length) {
  const decade = 10 ** Math.floor(Math.log10(length));
  return decade * [5, 2, 1].find((step) => step * decade <= length * 1.0001);
}

function clear(group) {
  for (const child of [...group.children]) {
    group.remove(child);
    child.geometry?.dispose();
    child.material?.map?.dispose();
    child.material?.dispose();
  }
}
