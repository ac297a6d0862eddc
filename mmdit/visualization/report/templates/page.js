'use strict';
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = read('data');
  const thumbnails = read('thumbnails');
  const form = document.getElementById('filter');
  const list = document.getElementById('list');
  const found = document.getElementById('found');
  const more = document.getElementById('more');
  const STEP = 24;
  const rows = data.expressions.map((_, row) => row);
  const lower = data.expressions.map((text) => text.toLowerCase());
  const [iou, other] = data.ious;
  let shown = [];
  let count = 0;

  // Lower is earlier; among equals, what has a thumbnail.
  const ORDERS = {
    worst: (row) => iou[row],
    best: (row) => -iou[row],
    median: (row) => Math.abs(iou[row] - data.median),
    first: (row) => other[row] - iou[row],
    second: (row) => iou[row] - other[row],
    data: null,
  };

  function choose() {
    const terms = form.text.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const group = Number(form.group.value);
    const low = form.min.value === '' ? 0 : Number(form.min.value);
    const high = form.max.value === '' ? 1 : Number(form.max.value);
    const fits = (row) =>
      (group < 0 || (data.groups[row] >> group) & 1) &&
      iou[row] >= low && (iou[row] < high || high >= 1 || (low === high && iou[row] === low)) &&
      (!form.thumbnails.checked || row in thumbnails) &&
      terms.every((term) => lower[row].includes(term));
    shown = rows.filter(fits);
    const key = ORDERS[form.order.value];
    if (key) {
      shown.sort((a, b) =>
        key(a) - key(b) || (b in thumbnails) - (a in thumbnails) || a - b);
    }
    count = 0;
    list.replaceChildren();
    extend();
  }

  function extend() {
    const cards = shown.slice(count, count + STEP).map(card);
    const focus = count > 0;
    list.append(...cards);
    count += cards.length;
    more.hidden = count >= shown.length;
    const of = shown.length === rows.length ? '' : ` of ${rows.length}`;
    found.textContent = shown.length
      ? `${shown.length}${of} cases, ${count} shown`
      : 'No case fits. Reset the filter, or widen it.';
    if (focus && cards.length) cards[0].focus({ preventScroll: true });
  }

  function element(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function score(row, model) {
    const line = element('p', `score model${model}`);
    const value = data.ious[model][row];
    if (other) line.append(element('span', 'who', data.names[model]));
    line.append(element('b', '', `IoU ${value.toFixed(2)}`));
    const meter = element('span', 'meter');
    meter.setAttribute('aria-hidden', 'true');
    meter.append(element('i'));
    meter.firstChild.style.width = `${100 * value}%`;
    line.append(meter);
    return line;
  }

  function thumbnail(row) {
    const figure = element('figure');
    const image = element('img');
    // Not lazily: what was not yet seen would be missing from a print.
    image.alt = data.panels.length
      ? `${data.panels.join(', ')} for “${data.expressions[row]}”`
      : `the image of “${data.expressions[row]}”`;
    image.src = thumbnails[row];
    figure.append(image);
    if (data.panels.length) {
      const caption = element('figcaption');
      caption.setAttribute('aria-hidden', 'true');
      data.panels.forEach((name, panel) => {
        const kind = ['', 'ground_truth', 'prediction', 'prediction'][panel];
        caption.append(element('span', kind, name));
      });
      figure.append(caption);
    }
    return figure;
  }

  function card(row) {
    const node = element('li', data.panels.length ? 'case' : 'case plain');
    node.tabIndex = -1;
    node.append(element('h3', '', data.expressions[row]));
    if (row in thumbnails) node.append(thumbnail(row));
    data.ious.forEach((_, model) => node.append(score(row, model)));
    const groups = data.labels.filter((_, bit) => (data.groups[row] >> bit) & 1);
    const about = [...groups, data.images[row], `sentence ${data.sentences[row]}`];
    node.append(element('p', 'about', about.join(' · ')));
    return node;
  }

  function reveal() {
    choose();
    const heading = document.getElementById('cases');
    heading.scrollIntoView();
    heading.focus({ preventScroll: true });
  }

  form.addEventListener('input', choose);
  form.addEventListener('submit', (event) => event.preventDefault());
  // The fields hold their first values only after this event.
  form.addEventListener('reset', () => setTimeout(choose));
  more.addEventListener('click', extend);
  document.querySelectorAll('[data-group]').forEach((button) =>
    button.addEventListener('click', () => {
      form.reset();
      form.group.value = button.dataset.group;
      reveal();
    }));
  document.querySelectorAll('[data-min]').forEach((button) =>
    button.addEventListener('click', () => {
      form.reset();
      form.min.value = button.dataset.min;
      form.max.value = button.dataset.max;
      reveal();
    }));
  choose();
})();
