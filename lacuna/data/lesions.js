'use strict';
const MOST = 200; // rows of the list
let sums, here = null, alone = null;
Object.assign(app, { answers: 0 });

// One question at a time; of those that arise meanwhile, the last.
let next = null, busy = false;
app.busy = () => busy;
async function ask() {
  next = crosshair();
  if (busy) return;
  busy = true;
  while (next) {
    const { mm, voxel } = next;
    next = null;
    try {
      const [x, y, z] = voxel;
      here = { mm, ...await (await got(`at?${new URLSearchParams({ x, y, z })}`)).json() };
      fault('');
      tell();
    } catch (error) {
      fault(error.message);
    }
    document.body.dataset.answers = app.answers += 1;
  }
  busy = false;
  redraw({ now: true });
}

const percentText = (value) => `${value.toFixed(1)} %`;

const having = (part) => about.lesions.filter(({ problems }) => !problems[part]).length;

function tell() {
  const { rows, lesioned, percent, mm } = here;
  const least = Number(byId('least').value), masks = having('mask'), maps = having('map');
  const order = rows.map((_, place) => place).filter((place) => lesioned[place] || percent[place] >= least);
  order.sort((a, b) => lesioned[b] - lesioned[a] || percent[b] - percent[a] || a - b);
  app.here = { lesioned: rows.filter((_, place) => lesioned[place]), disconnected: rows.filter((_, place) => percent[place] >= least) };
  byId('title').textContent = `At ${mm.map(Math.round).join(', ')} mm`;
  byId('lesioned').textContent = `${app.here.lesioned.length} of ${masks}`;
  byId('disconnected').textContent = `${app.here.disconnected.length} of ${maps}`;
  byId('disconnected-by').textContent = `disconnected by ${least} % or more`;
  byId('nothing').hidden = order.length > 0;
  byId('rows').hidden = !order.length;
  byId('more').hidden = order.length <= MOST;
  byId('more').textContent = `... and ${order.length - MOST} more`;
  const focused = document.activeElement?.dataset.row; // the keyboard stays where it is while the list changes
  byId('rows').querySelector('.rows').replaceChildren(...order.slice(0, MOST).map((place) => {
    const { name, report } = about.lesions[rows[place]];
    const line = document.createElement('div');
    line.className = 'line';
    const row = document.createElement('button');
    row.className = 'row';
    row.dataset.row = rows[place];
    row.title = `${name}: show only its mask and its map`;
    row.setAttribute('aria-pressed', alone === rows[place]);
    row.innerHTML = '<span class="what"></span><span class="number"></span><span class="track"><span class="bar"></span></span>';
    row.querySelector('.what').textContent = name;
    row.querySelector('.number').textContent = `${lesioned[place] ? 'lesioned, ' : ''}${percentText(percent[place])}`;
    row.querySelector('.bar').style.width = `${percent[place]}%`;
    row.classList.toggle('lesioned', lesioned[place]);
    row.onclick = () => showOne(rows[place]);
    line.append(row);
    if (report) {
      const link = document.createElement('a');
      link.href = `../${report}`;
      link.target = '_blank';
      link.rel = 'noopener';
      link.textContent = 'report';
      line.append(link);
    }
    return line;
  }));
  if (focused !== undefined) rowOf(focused)?.focus();
}

const rowOf = (row) => byId('rows').querySelector(`.row[data-row="${row}"]`);

function colours(values, highest, text, lesioned = null) {
  map.cal_max = highest;
  setMap(values, lesioned);
  byId('scale-high').textContent = text;
  byId('scale-low').textContent = '0';
  redraw({ all: true, now: true });
}

function showAll() {
  alone = null;
  byId('all').disabled = true;
  nv.drawBitmap.fill(0);
  nv.refreshDrawing(false);
  const values = sums[byId('what').value], highest = Math.max(values.reduce((most, value) => Math.max(most, value), 0) / 2, 1);
  const lesions = Math.round(highest / 100 * having('mask'));
  colours(values, highest, byId('what').value === 'overlap' ? `${lesions} lesions` : `${highest} % on average`);
  if (here) tell();
}

async function showOne(row) {
  if (alone === row) { showAll(); return; }
  alone = row;
  let one;
  try {
    one = unpacked(await (await got(`one/${row}`)).arrayBuffer());
  } catch (error) {
    fault(error.message);
    if (alone === row) showAll();
    return;
  }
  if (alone !== row) return; // another one, or all, was asked for meanwhile
  byId('all').disabled = false;
  setDrawing(one.mask);
  colours(one.map, 100, '100 % disconnected', one.mask);
  tell();
}

function moved() {
  const [x, y, z] = crosshair().mm.map(Math.round);
  byId('where').textContent = `at ${x}, ${y}, ${z} mm`;
  ask();
}

async function start() {
  const watching = setInterval(async () => {
    const [read, all] = await (await got('progress')).json();
    if (!about) byId('title').textContent = `Reading the lesions: ${read} of ${all} ...`;
  }, 500);
  try {
    about = await (await got('about')).json();
  } finally {
    clearInterval(watching);
  }
  document.title = `${about.name} - Lacuna: lesions at a place`;
  await openBrain({ opacity: 0.85 });
  nv.setDrawingEnabled(false);
  sums = unpacked(await (await got('sums')).arrayBuffer());
  const faults = about.lesions.flatMap(({ name, problems }) => Object.entries(problems).map(([part, problem]) => `${name}: the ${part} ${problem}. It is not counted.`));
  if (about.elsewhere) faults.push(`${about.elsewhere} lesions that are not in ${about.space} are left out.`);
  faults.unshift(...about.doubts);
  byId('warnings').textContent = faults.slice(0, 5).join('\n') + (faults.length > 5 ? `\n... and ${faults.length - 5} more` : '');
  byId('warnings').hidden = !faults.length;
  byId('over').textContent = about.tractograms > 1 ? `, mean over ${about.tractograms} tractograms` : '';
  listenToPage();
  byId('what').onchange = showAll;
  byId('all').onclick = showAll;
  byId('least').onchange = tell;
  byId('show-map').onchange = () => { nv.setOpacity(1, byId('show-map').checked ? 0.85 : 0); redraw({ all: true }); };
  listenToKeys({
    ...commonKeys(moved),
    a: showAll, m: () => toggle('show-map'),
    o: () => { byId('what').selectedIndex = 1 - byId('what').selectedIndex; showAll(); },
  });
  // where most lesions are
  const most = sums.overlap.reduce((best, value, voxel) => (value > sums.overlap[best] ? voxel : best), 0), { shape, affine } = about;
  const voxel = [most % shape[0], Math.floor(most / shape[0]) % shape[1], Math.floor(most / shape[0] / shape[1])];
  lookAt(voxel.map((at, axis) => at * affine[axis][axis] + affine[axis][3]));
  showAll();
  nv.onLocationChange = moved;
  moved();
  unveil();
}

begin(start);
