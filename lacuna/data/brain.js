'use strict';
// What the pages of `lacuna explore` share: the brain, drawn when there is time for it, answers taken apart, and keys.
const byId = (id) => document.getElementById(id);
const app = { ready: false, error: null, slow: false, nv: null };
window.lacunaExplorer = app;

const PLASMA = 'plasma';
let about, nv, map;

// ---------------------------------------------------------------- answers

async function got(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) throw new Error((await response.text()).trim());
  return response;
}

// what `frame` of the server packs
function unpacked(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const content = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const types = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
  let from = 4 + size;
  for (const [name, type, length] of content.arrays) {
    content[name] = new types[type](buffer, from, length);
    from += Math.ceil(content[name].byteLength / 4) * 4;
  }
  return content;
}

function fault(text) {
  byId('fault').textContent = text;
  byId('fault').hidden = !text;
  app.fault = text;
}

// ---------------------------------------------------------------- pictures

const REST = 400; // ms
let whole = true, pictured = '', part = null, resting;

// Without a graphics card, 3D takes most of a second. While something moves, the slices go along and 3D stays as it is; it is
// drawn when there is rest, or when it is turned itself.
function paint() {
  const { scene, opts, gl } = nv;
  const seen = [scene.renderAzimuth, scene.renderElevation, scene.volScaleMultiplier, opts.sliceType, gl.canvas.width, gl.canvas.height].join();
  const partly = app.slow && !whole && seen === pictured && part;
  nv.draw3D = partly ? () => { nv.screenSlices.push(part); } : niivue.Niivue.prototype.draw3D;
  nv.clearBounds = partly ? clearAround : niivue.Niivue.prototype.clearBounds;
  niivue.Niivue.prototype.drawScene.call(nv);
  clearTimeout(resting);
  if (partly) {
    resting = setTimeout(() => redraw({ all: true }), REST);
  } else {
    [whole, pictured, part] = [false, seen, nv.screenSlices.find((each) => each.axCorSag === nv.sliceTypeRender) ?? null];
  }
}

// all but the picture in 3D
function clearAround(bits, region) {
  const clear = (area) => niivue.Niivue.prototype.clearBounds.call(nv, bits, area);
  if (region) { clear(region); return; }
  const [left, top, width, height] = part.leftTopWidthHeight.map(Math.round), { canvas } = nv.gl;
  const right = left + width, bottom = top + height;
  for (const area of [[0, 0, canvas.width, top], [0, bottom, canvas.width, canvas.height - bottom], [0, top, left, height], [right, top, canvas.width - right, height]]) {
    if (area[2] > 0 && area[3] > 0) clear(area);
  }
}

// NiiVue asks for several pictures per event: one a frame is drawn; without a graphics card, none while numbers are awaited.
let waiting = false, due = false;
app.busy = () => false;
function redraw({ now = false, all = false } = {}) {
  due ||= now;
  whole ||= all;
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (app.slow && app.busy() && !due) return;
    due = false;
    paint();
  });
}

function timed(act) {
  const { gl } = nv, from = performance.now();
  act();
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits for the picture
  return performance.now() - from;
}

// the template, and above it an empty map in percent; nothing is drawn before `unveil`
async function openBrain({ colormap = PLASMA, highest = 100, lowest = 0.25, opacity = 0.8 } = {}) {
  nv = app.nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], show3Dcrosshair: true, crosshairColor: [1, 1, 1, 0.45], crosshairWidth: 0.5, crosshairGap: 6, isColorbar: false,
    loadingText: '', dragAndDropEnabled: false, isOrientationTextVisible: true, multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS,
    isRadiologicalConvention: false, meshXRay: 0.3, maxDrawUndoBitmaps: 32, viewModeHotKey: '', clipPlaneHotKey: '',
    logLevel: 'error',
  });
  byId('gl').getContext('webgl2', { alpha: true, antialias: false, preserveDrawingBuffer: true }); // for what `paint` leaves
  await nv.attachToCanvas(byId('gl'), false);
  nv.drawScene = () => '';
  const template = await niivue.NVImage.loadFromBase64({ base64: lacunaTemplate, name: 'template.nii.gz', colormap: 'gray', cal_min: 0, cal_max: 255 });
  nv.addVolume(template);
  map = await niivue.NVImage.loadFromBase64({ base64: about.emptyMap, name: 'map.nii.gz', colormap, opacity, cal_min: lowest, cal_max: highest });
  map.cal_min = lowest;
  map.cal_max = highest;
  nv.addVolume(map);
  nv.setMultiplanarLayout(niivue.MULTIPLANAR_TYPE.GRID);
  nv.setSliceType(nv.sliceTypeMultiplanar);
  nv.setRenderAzimuthElevation(110, 15);
  nv.setDrawColormap({ R: [0, 213], G: [0, 94], B: [0, 0], A: [0, 255], I: [0, 1], labels: ['', 'lesion'] });
  nv.drawOpacity = 0.9;
  nv.createEmptyDrawing();
}

function unveil() {
  paint(); // the first one loads
  whole = true;
  app.slow = timed(paint) > 100;
  nv.drawScene = () => { redraw(); return ''; };
  redraw({ all: true });
  app.ready = true;
  document.body.dataset.state = 'ready';
}

// other values for the map; below a lesion, which NiiVue draws under it, it is left out
function setMap(values, lesioned) {
  const { img } = map;
  if (lesioned) for (let voxel = 0; voxel < img.length; voxel += 1) img[voxel] = lesioned[voxel] ? 0 : values[voxel];
  else img.set(values);
  nv.refreshLayers(map, 1); // this one only: a new overlay takes five times as long
}

function setDrawing(voxels) {
  nv.drawBitmap.set(voxels);
  nv.refreshDrawing(false);
}

// ---------------------------------------------------------------- where

function voxelOf(mm) {
  const { affine } = about; // without rotation
  return [0, 1, 2].map((axis) => (mm[axis] - affine[axis][3]) / affine[axis][axis]);
}

function crosshair() {
  const mm = [...nv.frac2mm(nv.scene.crosshairPos)].slice(0, 3);
  return { mm, voxel: voxelOf(mm).map((at, axis) => Math.min(Math.max(Math.round(at), 0), about.shape[axis] - 1)) };
}

const flat = ([i, j, k]) => i + about.shape[0] * (j + about.shape[1] * k);

// the crosshair at a place, and the 3D view from its side
function lookAt(mm) {
  nv.scene.crosshairPos = nv.mm2frac(mm);
  nv.scene.renderAzimuth = mm[0] < 0 ? 110 : 250;
}

function step(moved, ...by) {
  const voxel = nv.frac2vox(nv.scene.crosshairPos);
  nv.scene.crosshairPos = nv.vox2frac(voxel.map((at, axis) => Math.min(Math.max(at + by[axis], 0), about.shape[axis] - 1)));
  moved();
  redraw();
}

// ---------------------------------------------------------------- appearance and keys

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  byId('theme').textContent = dark ? 'Light' : 'Dark';
}

function toggle(id) {
  byId(id).checked = !byId(id).checked;
  byId(id).onchange();
}

// what a key does, by its name; `moved` is told of a new place of the crosshair
const commonKeys = (moved) => ({
  ArrowLeft: () => step(moved, -1, 0, 0), ArrowRight: () => step(moved, 1, 0, 0),
  ArrowUp: () => step(moved, 0, 1, 0), ArrowDown: () => step(moved, 0, -1, 0),
  PageUp: () => step(moved, 0, 0, 1), PageDown: () => step(moved, 0, 0, -1),
  d: () => byId('theme').click(),
  v: () => {
    const view = byId('view');
    view.selectedIndex = (view.selectedIndex + 1) % view.options.length;
    view.onchange();
  },
  '?': () => byId('help-page').showModal(),
});

const TURN = 10; // degrees
function turn(azimuth, elevation) {
  nv.setRenderAzimuthElevation((nv.scene.renderAzimuth + azimuth + 360) % 360, Math.min(Math.max(nv.scene.renderElevation + elevation, -90), 90));
}
const TURNS = { ArrowLeft: () => turn(-TURN, 0), ArrowRight: () => turn(TURN, 0), ArrowUp: () => turn(0, TURN), ArrowDown: () => turn(0, -TURN) };

function listenToKeys(keys, { control = {} } = {}) {
  document.addEventListener('keydown', (event) => {
    if (document.querySelector('dialog[open]') || event.target.matches('input:not([type=checkbox]):not([type=range]), select')) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    let act = keys[key];
    if (event.shiftKey && key in TURNS) act = TURNS[key];
    if (event.ctrlKey || event.metaKey) act = control[key];
    // a button is pressed with space, a slider moved with arrows
    if (event.target.matches('button') && key === ' ') act = null;
    if (event.target.matches('input[type=range]') && key.startsWith('Arrow')) act = null;
    if (!act || event.altKey) return;
    event.preventDefault();
    event.stopPropagation(); // NiiVue has keys of its own
    act();
  }, true);
}

// a finger is a mouse: by NiiVue's own gestures, one neither draws nor goes where one taps
function listenToFingers() {
  const canvas = byId('gl'), kinds = { touchstart: 'mousedown', touchmove: 'mousemove', touchend: 'mouseup', touchcancel: 'mouseup' };
  for (const [kind, like] of Object.entries(kinds)) {
    byId('brain').addEventListener(kind, (event) => {
      if (event.touches.length > 1) return; // two of them zoom
      event.preventDefault();
      event.stopPropagation();
      const { clientX, clientY } = event.changedTouches[0];
      canvas.dispatchEvent(new MouseEvent(like, { clientX, clientY, bubbles: true, cancelable: true, buttons: like === 'mouseup' ? 0 : 1 }));
    }, { capture: true, passive: false });
  }
}

function listenToPage() {
  listenToFingers();
  byId('help').onclick = () => byId('help-page').showModal();
  byId('theme').onclick = () => setTheme(document.documentElement.dataset.theme !== 'dark');
  byId('view').onchange = () => { nv.setSliceType(Number(byId('view').value)); redraw({ all: true }); };
}

function begin(start) {
  setTheme(matchMedia('(prefers-color-scheme: dark)').matches);
  start().catch((error) => {
    app.error = String(error);
    document.body.dataset.state = 'failed';
    byId('title').textContent = 'The page could not start';
    fault(`${error.message ?? error} (it needs WebGL 2, and lacuna explore has to run)`);
  });
}
