'use strict';
const ROWS = 14;
let lines, held = null, tool = 'look', command = null;
Object.assign(app, { answer: null, answers: 0, timing: {} });
let lesion = { kind: 'drawing' }; // or { kind: 'file', name, data }, { kind: 'row', row, name }
const sizes = { sphere: 10, brush: 3 };
const bundleMeshes = new Map();

// ---------------------------------------------------------------- questions

function post(path, parameters, body) {
  const query = new URLSearchParams(parameters);
  return got(`${path}?${query}`.replace(/\?$/, ''), { method: 'POST', body });
}

function asked(which) {
  if (which.kind === 'file') return [{ name: which.name }, which.data];
  if (which.kind === 'row') return [{ row: which.row }, null];
  if (unplaced) placeSphere();
  const marks = nv.drawBitmap, first = marks.indexOf(1); // the rest is empty: a hundredth of it to send
  return first < 0 ? [{}, new Uint8Array()] : [{ first }, marks.slice(first, marks.lastIndexOf(1) + 1)];
}

// One question at a time; of those that arise meanwhile, the last.
let next = null, busy = false;
app.busy = () => busy;
function ask() {
  // of the mouse or the key, if there is one: it may have waited while something was drawn
  const event = window.event?.timeStamp || performance.now();
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
      tell(unpacked(await response.arrayBuffer()), which);
      app.timing.answer = performance.now() - event;
      fault('');
      picture(event, app.timing.answer);
    } catch (error) {
      fault(error.message);
      redraw({ now: true });
      if (which.kind !== 'drawing' && lesion === which) { lesion = { kind: 'drawing' }; byId('masks').value = ''; }
    }
    document.body.dataset.answers = app.answers += 1;
  }
  busy = false;
}

// ---------------------------------------------------------------- what is drawn

// of the last answer, in the next frame: the next question is on its way by then
let drawing = null;
function picture(event, answer) {
  if (!drawing) requestAnimationFrame(draw);
  drawing = { event, answer };
}

function draw() {
  const { event, answer } = drawing;
  drawing = null;
  showMap();
  setLines(app.answer);
  redraw({ now: true });
  requestAnimationFrame(() => requestAnimationFrame(() => {
    app.timing = { answer, drawn: performance.now() - event };
    byId('timing').textContent = `numbers ${answer.toFixed(0)} ms, ${app.slow ? 'slices' : 'picture'} ${app.timing.drawn.toFixed(0)} ms`;
    document.body.dataset.drawn = Number(document.body.dataset.drawn ?? 0) + 1;
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

function showMap() {
  if (!app.answer) return;
  setMap(app.answer.map, byId('show-lesion').checked ? nv.drawBitmap : null);
}

// all that is no picture
function tell(answer, which) {
  app.answer = answer;
  if (answer.mask && lesion === which) { // else one has drawn or chosen something else meanwhile
    setDrawing(answer.mask);
    nv.drawAddUndoBitmap();
    if (answer.middle) lookAt(answer.middle);
  }
  command = answer.command ?? null;
  const names = { drawing: tool === 'sphere' ? `Sphere, radius ${sizes.sphere} mm` : 'Drawing', file: which.name, row: which.name };
  answer.title = names[which.kind];
  numbers();
  whereabouts();
}

// ---------------------------------------------------------------- numbers

const percentText = (value) => (value === null || value === undefined ? 'n/a' : `${value.toFixed(value < 10 ? 1 : 0)} %`);

function numbers() {
  if (!app.answer) return;
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
  // the row that one points at may be of another bundle now
  const at = [...byId('bundles').querySelectorAll('.row')].find((row) => row.matches(':hover') || row === document.activeElement);
  if (at && pointed !== null && Number(at.dataset.row) !== pointed) point(Number(at.dataset.row));
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
  showPointed();
  if (row === null || bundleMeshes.has(row)) return;
  bundleMeshes.set(row, null); // on its way: asked for once, however often one points at it
  try {
    const { lengths, positions } = unpacked(await (await got(`bundle/${row}`)).arrayBuffer());
    if (lengths.length) bundleMeshes.set(row, await newMesh(lengths, positions, [255, 255, 255, 255]));
  } catch (error) {
    bundleMeshes.delete(row);
    fault(error.message);
  }
  showPointed();
}

function showPointed() {
  for (const [row, mesh] of bundleMeshes) if (mesh) mesh.visible = row === pointed;
  redraw({ all: true });
}

function whereabouts() {
  const { mm, voxel } = crosshair();
  const [x, y, z] = mm.map(Math.round), value = (app.answer?.map[flat(voxel)] ?? 0) / 2;
  byId('where').textContent = `at ${x}, ${y}, ${z} mm: ${value} % cut`;
}

// ---------------------------------------------------------------- the lesion

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

// the sphere goes where the crosshair is when that is asked
let unplaced = false;
function placeSphere() {
  unplaced = false;
  nv.drawBitmap.fill(0);
  ball(nv.drawBitmap, nv.frac2mm(nv.scene.crosshairPos), sizes.sphere, 1);
  nv.refreshDrawing(false);
}

function edited() {
  lesion = { kind: 'drawing' };
  byId('masks').value = '';
  ask();
}

function goTo(mm) {
  nv.scene.crosshairPos = nv.mm2frac(mm);
  moved();
  redraw();
}

function moved() {
  whereabouts();
  if (tool === 'sphere') { unplaced = true; edited(); }
}

function setTool(name) {
  if (unplaced) placeSphere();
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
  if (ball) { nv.drawAddUndoBitmap(); moved(); redraw(); }
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
  unplaced = false;
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

let opened = null;
async function openFile(file) {
  if (!file) return;
  opened = file;
  const data = await file.arrayBuffer();
  if (opened !== file) return; // another one was opened meanwhile
  lesion = { kind: 'file', name: file.name, data };
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
  const which = lesion;
  try {
    const [parameters, body] = asked(which);
    const response = await post('save', { ...parameters, subject: byId('subject').value, label: byId('label').value }, body);
    app.saved = await response.json();
    if (lesion === which) command = app.saved.command;
    said.textContent = 'Saved.';
    byId('save-files').textContent = [`mask     ${app.saved.mask}`, `results  ${app.saved.results}`, ...(app.saved.report ? [`report   ${app.saved.report}`] : [])].join('\n');
    byId('save-files').hidden = false;
  } catch (error) {
    said.textContent = error.message;
  }
  now.disabled = false;
}

function showCommand() {
  byId('command-note').textContent = command ? '' : 'MASK stands for the mask: save the mask to see its path here.';
  byId('command-text').textContent = command ?? about.command;
  byId('command-page').showModal();
}

const KEYS = {
  l: () => setTool('look'), s: () => setTool('sphere'), b: () => setTool('brush'), e: () => setTool('eraser'),
  '+': () => resize(1), '=': () => resize(1), '-': () => resize(-1),
  ' ': () => {
    if (tool !== 'brush' && tool !== 'eraser') return;
    ball(nv.drawBitmap, nv.frac2mm(nv.scene.crosshairPos), sizes.brush * about.affine[0][0] / 2, tool === 'brush' ? 1 : 0);
    nv.drawAddUndoBitmap();
    nv.refreshDrawing(true);
    edited();
  },
  Delete: clear, o: () => byId('file').click(), h: () => byId('hold').click(), w: () => byId('save').click(), c: showCommand,
  n: () => toggle('show-lesion'), m: () => toggle('show-map'), t: () => toggle('show-streamlines'),
  ...commonKeys(moved),
};

// ---------------------------------------------------------------- beginning

function listen() {
  for (const button of document.querySelectorAll('[data-tool]')) button.onclick = () => setTool(button.dataset.tool);
  byId('size').oninput = () => { sized(); if (tool === 'sphere') { moved(); redraw(); } };
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
  listenToPage();
  byId('atlas').onchange = byId('order').onchange = numbers;
  byId('show-lesion').onchange = () => { showMap(); nv.setDrawOpacity(byId('show-lesion').checked ? 0.9 : 0); };
  byId('show-map').onchange = () => nv.setOpacity(1, byId('show-map').checked ? 0.8 : 0);
  byId('show-streamlines').onchange = () => { lines.visible = lines.hasLines && byId('show-streamlines').checked; redraw({ all: true }); };
  listenToKeys(KEYS, { control: { z: undo } });
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
  about = await (await got('about')).json();
  document.title = `${about.tractogram} - Lacuna explore`;
  await openBrain();
  lines = await newMesh([2], new Float32Array([0, 0, 0, 1, 0, 0]));
  lines.visible = lines.hasLines = false;
  nv.setMeshThicknessOn2D(0); // streamlines in 3D only: on slices they would hide lesion and map

  makeRows('bundles', about.bundles);
  makeRows('parcels', about.atlases[0]);
  byId('nothing').hidden = Boolean(about.bundles || about.atlases.length);
  byId('sorting').hidden = !byId('nothing').hidden;
  byId('atlas').replaceChildren(...about.atlases.map(({ name }, row) => new Option(name, row)));
  if (about.masks.length) {
    byId('masks').replaceChildren(new Option(`${about.masks.length} masks ...`, ''), ...about.masks.map((name, row) => new Option(name, row)));
    byId('masks').hidden = false;
  }
  if (about.groups.length) {
    byId('group').href = about.groups[0][1];
    byId('group').hidden = false;
  }
  byId('save').disabled = about.saving === null;
  if (about.saving === null) byId('save').title = 'start lacuna explore with --output-dir to save';
  byId('save-where').textContent = `In ${about.saving}: the mask is saved in masks, its results in derivatives.`;
  listen();
  nv.scene.crosshairPos = nv.mm2frac([-26, -10, 16]);
  if (about.masks.length) {
    byId('masks').value = '0';
    byId('masks').dispatchEvent(new Event('change'));
  } else {
    setTool('sphere');
  }
  unveil();
}

begin(start);
