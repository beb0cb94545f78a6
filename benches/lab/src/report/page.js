// Tells the figures of a point: by pointing at the chart, by touch, or by the arrow keys.
'use strict';
for (const chart of document.querySelectorAll('.chart')) {
  const figure = chart.parentElement;
  const tip = figure.appendChild(document.createElement('div'));
  tip.className = 'tip';
  tip.setAttribute('aria-live', 'polite');
  const points = [...chart.querySelectorAll('.point')].map(element => {
    const title = element.querySelector('title');
    title.remove(); // or the browser shows it too
    return { element, text: title.textContent, series: element.closest('.series').dataset.series,
      x: +element.dataset.x, y: +element.dataset.y };
  });
  let now;
  const show = point => {
    now?.element.classList.remove('now');
    now = point;
    chart.classList.toggle('told', !!point);
    tip.textContent = point ? point.text : '';
    if (!point) return;
    point.element.classList.add('now');
    for (const one of chart.querySelectorAll('[data-series]')) one.classList.toggle('on', one.dataset.series === point.series);
    const scale = chart.clientWidth / chart.viewBox.baseVal.width;
    const [x, y] = [point.x * scale, point.y * scale];
    tip.style.left = `${Math.max(0, Math.min(x - tip.offsetWidth / 2, figure.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = `${y - tip.offsetHeight - 14 > 0 ? y - tip.offsetHeight - 14 : y + 14}px`;
  };
  const nearest = event => {
    const box = chart.getBoundingClientRect();
    const scale = chart.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const named = event.target.closest('.label');
    const all = named ? points.filter(point => point.series === named.dataset.series) : points;
    return all.reduce((best, point) => {
      const distance = Math.hypot(point.x - x, point.y - y);
      return !best || distance < best.distance ? { point, distance } : best;
    }, undefined)?.point;
  };
  chart.tabIndex = 0;
  chart.addEventListener('pointermove', event => show(nearest(event)));
  chart.addEventListener('pointerdown', event => show(nearest(event)));
  chart.addEventListener('pointerleave', event => { if (event.pointerType === 'mouse') show(); });
  chart.addEventListener('blur', () => show());
  chart.addEventListener('keydown', event => {
    const from = now ?? points[0];
    const among = test => points.filter(test).sort((a, b) => a.x - b.x || a.y - b.y);
    const line = among(point => point.series === from.series);
    const column = points.filter(point => Math.abs(point.x - from.x) < 14).sort((a, b) => a.y - b.y || a.x - b.x);
    const step = (list, way) => list[list.indexOf(from) + way] ?? from;
    const next = { ArrowLeft: () => step(line, -1), ArrowRight: () => step(line, 1), ArrowUp: () => step(column, -1),
      ArrowDown: () => step(column, 1), Escape: () => undefined }[event.key];
    if (!next) return;
    event.preventDefault();
    show(now || event.key === 'Escape' ? next() : from);
  });
}
