'use strict';
const byId = (id) => document.getElementById(id);
const app = { ready: false, error: null, answer: null, answers: 0, timing: {}, nv: null };
window.lacunaExplorer = app;

const ROWS = 14;
const PLASMA = 'plasma';
let about, nv, map, lines, held = null, tool = 'look', command = null;
let lesion = { kind: 'drawing' }; // or { kind: 'file', name, data }, { kind: 'row', row, name }
const sizes = { sphere: 10, brush: 3 };
const bundleMeshes = new Map();

// ---------------------------------------------------------------- questions

async function post(path, parameters, body) {
  const query = new URLSearchParams(parameters);
  const response = await fetch(`${path}?${query}`.replace(/\?$/, ''), { method: 'POST', body });
  if (!response.ok) throw new Error((await response.text()).trim());
  return response;
}

// what `frame` of the server packs
function unpacked(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const content = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const types = { uint8: Uint8Array, uint32: Uint32Array, float32: Float32Array };
  let from = 4 + size;
  for (const [name, type, length] of content.arrays) {
    content[name] = new types[type](buffer, from, length);
    from += Math.ceil(content[name].byteLength / 4) * 4;
  }
  return content;
}

function asked(which) {
  if (which.kind === 'file') return [{ name: which.name }, which.data];
  if (which.kind === 'row') return [{ row: which.row }, null];
  return [{}, nv.drawBitmap.slice()];
}

// One question at a time; of those that arise meanwhile, the last.
let next = null, busy = false;
app.busy = () => busy;
function ask(event = performance.now()) {
  next = { lesion, event };
  if (!busy) work();
}
async function work() {
  busy = true;
  while (next) {
    const { lesion: which, event } = next;
    next = null;
    try {
      const response = await post('answer', ...asked(which));
      const answer = unpacked(await response.arrayBuffer());
      show(answer, which);
      app.timing.answer = performance.now() - event;
      fault('');
      drawn(event);
    } catch (error) {
      fault(error.message);
      redraw(true);
      if (which.kind !== 'drawing') { lesion = { kind: 'drawing' }; byId('masks').value = ''; }
    }
    document.body.dataset.answers = app.answers += 1;
  }
  busy = false;
}

function fault(text) {
  byId('fault').textContent = text;
  byId('fault').hidden = !text;
  app.fault = text;
}

// ---------------------------------------------------------------- what is drawn

const paint = () => niivue.Niivue.prototype.drawScene.call(nv);

// NiiVue asks for several pictures per event: one a frame is drawn. Without a graphics card, each keeps the processor from
// the numbers, and the next is drawn when they are there.
let waiting = false, due = false;
function redraw(now = false) {
  due ||= now === true;
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (app.slow && busy && !due) return;
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

function drawn(event) {
  redraw(true);
  requestAnimationFrame(() => requestAnimationFrame(() => {
    app.timing.drawn = performance.now() - event;
    const { answer, drawn: picture } = app.timing;
    byId('timing').textContent = `numbers after ${answer.toFixed(0)} ms, picture after ${picture.toFixed(0)} ms`;
  }));
}

// a .tck in memory, of which NiiVue makes its mesh; later ones get new points only
function tck(lengths, positions) {
  const header = new TextEncoder().encode('mrtrix tracks\ndatatype: Float32LE\nfile: . 64\nEND\n'.padEnd(64));
  const rows = new Float32Array(positions.length + 3 * lengths.length + 6).fill(NaN);
  let from = 0, to = 3; // a mark before the first one, too: NiiVue would leave it out
  for (const length of lengths) {
    rows.set(positions.subarray(from, from + 3 * length), to);
    from += 3 * length;
    to += 3 * length + 3;
  }
  rows.fill(Infinity, to);
  return new Blob([header, rows]).arrayBuffer();
}

async function newMesh(lengths, positions, colour) {
  const mesh = await niivue.NVMesh.readMesh(await tck(lengths, positions), 'streamlines.tck', nv.gl, 1, [255, 255, 255, 255], true);
  nv.addMesh(mesh);
  if (colour) mesh.rgba255 = colour;
  mesh.fiberColor = colour ? 'Fixed' : 'Local';
  mesh.updateMesh(nv.gl);
  return mesh;
}

function setLines({ lengths, positions }) {
  const any = lengths.length > 0;
  if (any) {
    const starts = new Uint32Array(lengths.length + 1);
    lengths.forEach((length, row) => { starts[row + 1] = starts[row] + length; });
    lines.pts = positions;
    lines.offsetPt0 = starts;
    lines.fiberLengths = lines.fiberDensity = null; // of the streamlines before
    lines.updateMesh(nv.gl);
  }
  lines.hasLines = any;
  lines.visible = any && byId('show-streamlines').checked;
}

// NiiVue draws the lesion below the map: where it is, the map is left out
function showMap() {
  const lesioned = byId('show-lesion').checked ? nv.drawBitmap : null;
  if (lesioned) app.answer.map.forEach((value, voxel) => { map.img[voxel] = lesioned[voxel] ? 0 : value; });
  else map.img.set(app.answer.map);
  nv.refreshLayers(map, 1); // this one only: a new overlay takes five times as long
}

function setDrawing(voxels) {
  nv.drawBitmap.set(voxels);
  nv.refreshDrawing(false);
}

function show(answer, which) {
  app.answer = answer;
  if (answer.mask) {
    setDrawing(answer.mask);
    nv.drawAddUndoBitmap();
    if (answer.middle) lookAt(answer.middle);
  }
  showMap();
  setLines(answer);
  command = answer.command ?? null;
  const names = { drawing: tool === 'sphere' ? `Sphere, radius ${sizes.sphere} mm` : 'Drawing', file: which.name, row: which.name };
  answer.title = names[which.kind];
  numbers();
  whereabouts();
}

// ---------------------------------------------------------------- numbers

const percentText = (value) => (value === null || value === undefined ? 'n/a' : `${value.toFixed(value < 10 ? 1 : 0)} %`);

function numbers() {
  const { summary, warnings, title } = app.answer;
  const shown = (each) => ({
    volume: `${(each.mask_volume_mm3 / 1000).toFixed(2)} ml`,
    cut: each.streamlines_disconnected.toLocaleString('en'),
    percent: `${each.streamlines_disconnected_pct.toFixed(2)} %`,
  });
  byId('title').textContent = title;
  const ours = shown(summary), theirs = held && shown(held.summary);
  for (const key of Object.keys(ours)) {
    byId(key).textContent = ours[key];
    byId(key).nextElementSibling.textContent = theirs ? `held: ${theirs[key]}` : '';
  }
  byId('hold').textContent = held ? 'Release' : 'Hold to compare';
  byId('warnings').textContent = warnings.join('\n');
  byId('warnings').hidden = !warnings.length;
  table('bundles', about.bundles, app.answer.bundles, held?.bundles);
  const atlas = Number(byId('atlas').value);
  table('parcels', about.atlases[atlas], app.answer.atlases[atlas], held?.atlases[atlas]);
}

function table(id, regions, values, others) {
  if (!regions) return;
  const order = regions.names.map((_, row) => row).filter((row) => values.value[row] !== null);
  const [first, second] = byId('order').value === 'cut' ? [values.cut, values.value] : [values.value, values.cut];
  order.sort((a, b) => first[b] - first[a] || second[b] - second[a] || a - b);
  const rows = byId(id).querySelectorAll('.row');
  rows.forEach((row, place) => {
    const which = order[place];
    row.hidden = which === undefined || (!values.cut[which] && place > 2);
    if (row.hidden) return;
    const value = values.value[which];
    row.dataset.row = which;
    row.title = `${regions.names[which]}: ${values.cut[which]} of ${values.total[which]} streamlines`;
    row.querySelector('.what').textContent = regions.names[which].replaceAll('_', ' ');
    row.querySelector('.number').textContent = `${percentText(value)} (${values.cut[which].toLocaleString('en')})`;
    row.querySelector('.bar').style.width = `${value}%`;
    const mark = row.querySelector('.mark');
    mark.hidden = !others;
    if (others) mark.style.left = `${others.value[which] ?? 0}%`;
  });
}

function makeRows(id, regions) {
  if (!regions) return;
  byId(id).hidden = false;
  const rows = byId(id).querySelector('.rows');
  for (let place = 0; place < ROWS; place += 1) {
    const row = document.createElement('button');
    row.className = 'row';
    row.hidden = true;
    row.innerHTML = '<span class="what"></span><span class="number"></span><span class="track"><span class="bar"></span><span class="mark" hidden></span></span>';
    row.onclick = () => {
      const found = id === 'bundles' ? about.bundles : about.atlases[Number(byId('atlas').value)];
      const centre = found.centres[Number(row.dataset.row)];
      if (centre) goTo(centre);
    };
    if (id === 'bundles') {
      row.onmouseenter = row.onfocus = () => point(Number(row.dataset.row));
      row.onmouseleave = row.onblur = () => point(null);
    }
    rows.append(row);
  }
}

// the streamlines of a bundle, as long as one points at it
let pointed = null;
async function point(row) {
  pointed = row;
  for (const [other, mesh] of bundleMeshes) mesh.visible = other === row;
  redraw();
  if (row === null || bundleMeshes.has(row)) return;
  const response = await fetch(`bundle/${row}`);
  if (!response.ok) return;
  const { lengths, positions } = unpacked(await response.arrayBuffer());
  if (!lengths.length || bundleMeshes.has(row)) return;
  const mesh = await newMesh(lengths, positions, [255, 255, 255, 255]);
  mesh.visible = pointed === row;
  bundleMeshes.set(row, mesh);
  redraw();
}

function whereabouts() {
  const mm = nv.frac2mm(nv.scene.crosshairPos);
  const [x, y, z] = [0, 1, 2].map((axis) => Math.round(mm[axis]));
  const [i, j, k] = voxelOf(mm).map(Math.round), { shape } = about;
  const value = (app.answer?.map[i + shape[0] * (j + shape[1] * k)] ?? 0) / 2;
  byId('where').textContent = `at ${x}, ${y}, ${z} mm: ${value} % of the streamlines here are cut`;
}

// ---------------------------------------------------------------- the lesion

function voxelOf(mm) {
  const { affine } = about; // without rotation
  return [0, 1, 2].map((axis) => (mm[axis] - affine[axis][3]) / affine[axis][axis]);
}

// set the voxels whose centres lie within a ball
function ball(voxels, mm, radius, value) {
  const { affine, shape } = about;
  const centre = voxelOf(mm), edge = [0, 1, 2].map((axis) => affine[axis][axis]);
  const low = centre.map((at, axis) => Math.max(Math.ceil(at - radius / edge[axis]), 0));
  const high = centre.map((at, axis) => Math.min(Math.floor(at + radius / edge[axis]), shape[axis] - 1));
  for (let z = low[2]; z <= high[2]; z += 1) {
    for (let y = low[1]; y <= high[1]; y += 1) {
      for (let x = low[0]; x <= high[0]; x += 1) {
        const far = ((x - centre[0]) * edge[0]) ** 2 + ((y - centre[1]) * edge[1]) ** 2 + ((z - centre[2]) * edge[2]) ** 2;
        if (far <= radius ** 2) voxels[x + shape[0] * (y + shape[1] * z)] = value;
      }
    }
  }
}

function placeSphere() {
  nv.drawBitmap.fill(0);
  ball(nv.drawBitmap, nv.frac2mm(nv.scene.crosshairPos), sizes.sphere, 1);
  nv.refreshDrawing(false);
  edited();
}

function edited() {
  lesion = { kind: 'drawing' };
  byId('masks').value = '';
  ask();
}

// the crosshair at a place, and the 3D view from its side
function lookAt(mm) {
  nv.scene.crosshairPos = nv.mm2frac(mm);
  nv.scene.renderAzimuth = mm[0] < 0 ? 110 : 250;
}

function goTo(mm) {
  nv.scene.crosshairPos = nv.mm2frac(mm);
  moved();
  redraw();
}

function moved() {
  whereabouts();
  if (tool === 'sphere') placeSphere();
}

function setTool(name) {
  tool = name;
  for (const button of document.querySelectorAll('[data-tool]')) button.setAttribute('aria-pressed', button.dataset.tool === name);
  const draws = name === 'brush' || name === 'eraser';
  nv.setDrawingEnabled(draws);
  if (draws) nv.setPenValue(name === 'brush' ? 1 : 0);
  const size = byId('size'), ball = name === 'sphere';
  size.disabled = name === 'look';
  byId('size-of').textContent = draws ? 'pen' : 'radius';
  [size.min, size.max] = draws ? [1, 12] : [2, 40];
  size.value = draws ? sizes.brush : sizes.sphere;
  sized();
  if (ball) { nv.drawAddUndoBitmap(); placeSphere(); redraw(); }
}

function sized() {
  const value = Number(byId('size').value);
  if (tool === 'brush' || tool === 'eraser') {
    sizes.brush = value;
    nv.opts.penSize = value;
    byId('size-at').textContent = `${value} voxels`;
  } else {
    sizes.sphere = value;
    byId('size-at').textContent = `${value} mm`;
  }
}

function resize(step) {
  byId('size').value = Number(byId('size').value) + step;
  byId('size').oninput();
}

function undo() {
  nv.drawUndo();
  if (tool === 'sphere') setTool('look');
  edited();
}

function clear() {
  if (tool === 'sphere') setTool('look');
  nv.drawBitmap.fill(0);
  nv.drawAddUndoBitmap();
  nv.refreshDrawing(true);
  edited();
}

async function openFile(file) {
  if (!file) return;
  lesion = { kind: 'file', name: file.name, data: await file.arrayBuffer() };
  setTool('look');
  byId('masks').value = '';
  ask();
}

// ---------------------------------------------------------------- saving, command, appearance

async function save() {
  const said = byId('save-said'), now = byId('save-now');
  said.textContent = 'Saving: the report takes some seconds ...';
  now.disabled = true;
  byId('save-files').hidden = true;
  try {
    const [parameters, body] = asked(lesion);
    const response = await post('save', { ...parameters, subject: byId('subject').value, label: byId('label').value }, body);
    app.saved = await response.json();
    command = app.saved.command;
    said.textContent = 'Saved.';
    byId('save-files').textContent = [`mask     ${app.saved.mask}`, `results  ${app.saved.results}`, ...(app.saved.report ? [`report   ${app.saved.report}`] : [])].join('\n');
    byId('save-files').hidden = false;
  } catch (error) {
    said.textContent = error.message;
  }
  now.disabled = false;
}

function showCommand() {
  byId('command-note').textContent = command ? '' : 'MASK stands for the mask: save it first, and its path is here.';
  byId('command-text').textContent = command ?? about.command;
  byId('command-page').showModal();
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  byId('theme').textContent = dark ? 'Light' : 'Dark';
}

function toggle(id) {
  byId(id).checked = !byId(id).checked;
  byId(id).onchange();
}

function step(...by) {
  const voxel = nv.frac2vox(nv.scene.crosshairPos);
  nv.scene.crosshairPos = nv.vox2frac(voxel.map((at, axis) => Math.min(Math.max(at + by[axis], 0), about.shape[axis] - 1)));
  moved();
  redraw();
}

const KEYS = {
  l: () => setTool('look'), s: () => setTool('sphere'), b: () => setTool('brush'), e: () => setTool('eraser'),
  '+': () => resize(1), '=': () => resize(1), '-': () => resize(-1),
  ArrowLeft: () => step(-1, 0, 0), ArrowRight: () => step(1, 0, 0), ArrowUp: () => step(0, 1, 0), ArrowDown: () => step(0, -1, 0),
  PageUp: () => step(0, 0, 1), PageDown: () => step(0, 0, -1),
  ' ': () => {
    if (tool !== 'brush' && tool !== 'eraser') return;
    ball(nv.drawBitmap, nv.frac2mm(nv.scene.crosshairPos), sizes.brush * about.affine[0][0] / 2, tool === 'brush' ? 1 : 0);
    nv.drawAddUndoBitmap();
    nv.refreshDrawing(true);
    edited();
  },
  Delete: clear, o: () => byId('file').click(), h: () => byId('hold').click(), w: () => byId('save').click(), c: showCommand,
  m: () => toggle('show-map'), t: () => toggle('show-streamlines'), d: () => byId('theme').click(),
  v: () => {
    const view = byId('view');
    view.selectedIndex = (view.selectedIndex + 1) % view.options.length;
    view.onchange();
  },
  '?': () => byId('help-page').showModal(),
};

function onKey(event) {
  if (document.querySelector('dialog[open]') || event.target.matches('input:not([type=checkbox]):not([type=range]), select')) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  let act = KEYS[key];
  if (event.ctrlKey || event.metaKey) act = key === 'z' ? undo : null;
  // a button is pressed with space, a slider moved with arrows
  if (event.target.matches('button') && key === ' ') act = null;
  if (event.target.matches('input[type=range]') && key.startsWith('Arrow')) act = null;
  if (!act || event.altKey) return;
  event.preventDefault();
  event.stopPropagation(); // NiiVue has keys of its own
  act();
}

// ---------------------------------------------------------------- beginning

function listen() {
  for (const button of document.querySelectorAll('[data-tool]')) button.onclick = () => setTool(button.dataset.tool);
  byId('size').oninput = () => { sized(); if (tool === 'sphere') { placeSphere(); redraw(); } };
  byId('undo').onclick = undo;
  byId('clear').onclick = clear;
  byId('open').onclick = () => byId('file').click();
  byId('file').onchange = (event) => { openFile(event.target.files[0]); event.target.value = ''; };
  byId('masks').onchange = (event) => {
    const { value, selectedOptions } = event.target;
    if (value === '') return;
    setTool('look');
    event.target.value = value;
    lesion = { kind: 'row', row: Number(value), name: selectedOptions[0].textContent };
    ask();
  };
  byId('hold').onclick = () => { held = held ? null : app.answer; numbers(); };
  byId('save').onclick = () => { byId('save-said').textContent = ''; byId('save-files').hidden = true; byId('save-page').showModal(); };
  byId('save-now').onclick = () => { if (byId('save-form').reportValidity()) save(); };
  byId('command').onclick = showCommand;
  byId('copy').onclick = () => navigator.clipboard.writeText(byId('command-text').textContent);
  byId('help').onclick = () => byId('help-page').showModal();
  byId('theme').onclick = () => setTheme(document.documentElement.dataset.theme !== 'dark');
  byId('atlas').onchange = byId('order').onchange = numbers;
  byId('show-lesion').onchange = () => { showMap(); nv.setDrawOpacity(byId('show-lesion').checked ? 0.9 : 0); };
  byId('show-map').onchange = () => nv.setOpacity(1, byId('show-map').checked ? 0.8 : 0);
  byId('show-streamlines').onchange = () => { lines.visible = lines.hasLines && byId('show-streamlines').checked; redraw(); };
  byId('view').onchange = () => nv.setSliceType(Number(byId('view').value));
  document.addEventListener('keydown', onKey, true);
  const brain = byId('brain');
  brain.addEventListener('wheel', (event) => {
    if (tool !== 'sphere') return; // else NiiVue's: through the slices
    event.preventDefault();
    event.stopPropagation();
    resize(event.deltaY < 0 ? 1 : -1);
  }, { capture: true, passive: false });
  brain.addEventListener('mousemove', (event) => {
    if ((tool === 'brush' || tool === 'eraser') && event.buttons === 1) edited();
  });
  nv.onLocationChange = moved;
  nv.onDrawingChanged = (action) => { if (action === 'draw') edited(); };
  const stop = (event) => { event.preventDefault(); event.stopPropagation(); };
  for (const kind of ['dragenter', 'dragover']) document.addEventListener(kind, (event) => { stop(event); brain.classList.add('over'); });
  document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) brain.classList.remove('over'); });
  document.addEventListener('drop', (event) => { stop(event); brain.classList.remove('over'); openFile(event.dataTransfer.files[0]); });
}

async function start() {
  setTheme(matchMedia('(prefers-color-scheme: dark)').matches);
  const response = await fetch('about');
  if (!response.ok) throw new Error((await response.text()).trim());
  about = await response.json();
  document.title = `${about.tractogram} - Lacuna explore`;
  nv = app.nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], show3Dcrosshair: true, crosshairColor: [1, 1, 1, 0.45], crosshairWidth: 0.5, crosshairGap: 6, isColorbar: false,
    loadingText: '', dragAndDropEnabled: false, isOrientationTextVisible: true, multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS,
    isRadiologicalConvention: false, meshXRay: 0.3, maxDrawUndoBitmaps: 32, viewModeHotKey: '', clipPlaneHotKey: '',
    logLevel: 'error',
  });
  await nv.attachToCanvas(byId('gl'), false);
  nv.drawScene = () => ''; // nothing is drawn before all is there: each picture takes long without a graphics card
  const template = await niivue.NVImage.loadFromBase64({ base64: lacunaTemplate, name: 'template.nii.gz', colormap: 'gray', cal_min: 0, cal_max: 255 });
  nv.addVolume(template);
  map = await niivue.NVImage.loadFromBase64({
    base64: about.emptyMap, name: 'map.nii.gz', colormap: PLASMA, opacity: 0.8, cal_min: 0.25, cal_max: 100,
  });
  map.cal_min = 0.25;
  map.cal_max = 100;
  nv.addVolume(map);
  lines = await newMesh([2], new Float32Array([0, 0, 0, 1, 0, 0]));
  lines.visible = lines.hasLines = false;
  nv.setMultiplanarLayout(niivue.MULTIPLANAR_TYPE.GRID);
  nv.setSliceType(nv.sliceTypeMultiplanar);
  nv.setMeshThicknessOn2D(0); // streamlines in 3D only: on slices they would hide lesion and map
  nv.setRenderAzimuthElevation(110, 15);
  nv.setDrawColormap({ R: [0, 213], G: [0, 94], B: [0, 0], A: [0, 255], I: [0, 1], labels: ['', 'lesion'] });
  nv.drawOpacity = 0.9;
  nv.createEmptyDrawing();

  makeRows('bundles', about.bundles);
  makeRows('parcels', about.atlases[0]);
  byId('nothing').hidden = Boolean(about.bundles || about.atlases.length);
  byId('sorting').hidden = !byId('nothing').hidden;
  byId('atlas').replaceChildren(...about.atlases.map(({ name }, row) => new Option(name, row)));
  if (about.masks.length) {
    byId('masks').replaceChildren(new Option(`${about.masks.length} masks ...`, ''), ...about.masks.map((name, row) => new Option(name, row)));
    byId('masks').hidden = false;
  }
  byId('save').disabled = about.saving === null;
  if (about.saving === null) byId('save').title = 'start lacuna explore with --output-dir to save';
  byId('save-where').textContent = `In ${about.saving}: the mask in masks, and what lacuna run makes of it in derivatives.`;
  listen();
  nv.scene.crosshairPos = nv.mm2frac([-26, -10, 16]);
  if (about.masks.length) {
    byId('masks').value = '0';
    byId('masks').dispatchEvent(new Event('change'));
  } else {
    setTool('sphere');
  }
  app.slow = timed(paint) > 100;
  nv.drawScene = redraw;
  redraw();
  app.ready = true;
  document.body.dataset.state = 'ready';
}

start().catch((error) => {
  app.error = String(error);
  document.body.dataset.state = 'failed';
  byId('title').textContent = 'The page could not start';
  fault(`${error.message ?? error} (it needs WebGL 2, and lacuna explore has to run)`);
});
