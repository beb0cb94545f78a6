// The clock of all recordings on a page: where moments are drawn.

const GAP = 64;

// Where moments are drawn. In gaps, in which nothing happens, time is short; the clock is the same for all recordings.
class Clock {
  // `times` are the moments in sight, sorted; `scale` is in pixels a nanosecond.
  constructor(times, now, scale, x, shortens) {
    this.times = times;
    this.scale = scale;
    this.shortens = shortens;
    this.gaps = [];
    const places = [0];
    for (let i = 1; i < times.length; i++) {
      const width = (times[i] - times[i - 1]) * scale;
      if (shortens && width > GAP) this.gaps.push(i);
      places.push(places[i - 1] + (shortens ? Math.min(width, GAP) : width));
    }
    this.places = places;
    this.shift = 0;
    this.shift = x - this.at(now);
  }

  at(moment) {
    const {times, places} = this;
    let low = 0, high = times.length - 1;
    if (high < 0) return this.shift;
    if (moment <= times[0]) return places[0] + (moment - times[0]) * this.scale + this.shift;
    if (moment >= times[high]) return places[high] + (moment - times[high]) * this.scale + this.shift;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= moment) low = middle; else high = middle;
    }
    const share = (moment - times[low]) / (times[high] - times[low]);
    return places[low] + share * (places[high] - places[low]) + this.shift;
  }
}

// A moment that is a multiple of a step, with no more digits than that needs.
function rounded(moment, step) {
  const size = Math.abs(moment), [unit, name] = step >= 1e9 ? [1e9, "s"] : step >= 1e6 || size >= 1e6 ? [1e6, "ms"] : [1e3, "µs"];
  const digits = Math.max(0, Math.ceil(Math.log10(unit / step) - 1e-9));
  return moment === 0 ? "0" : `${moment < 0 ? "−" : ""}${(size / unit).toFixed(digits)} ${name}`;
}
