// Reads a chart's values off its paths where the pointer is; the page says everything without it too.
(() => {
  const numbers = (path) => path.getAttribute("d").match(/-?[\d.]+/g).map(Number);
  const written = (value) => {
    const size = Math.abs(value);
    return size && (size < 1e-3 || size >= 1e7) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  };
  // The height at `x` of the line through points given as x, y, x, y, …; null outside of it.
  const height = (points, x) => {
    if (x < points[0] || x > points[points.length - 2]) return null;
    let low = 0, high = points.length / 2 - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[2 * middle] <= x) low = middle; else high = middle;
    }
    const [x0, y0, x1, y1] = points.slice(2 * low, 2 * low + 4);
    return x1 > x0 ? y0 + (y1 - y0) * (x - x0) / (x1 - x0) : y0;
  };
  for (const plot of document.querySelectorAll(".plot")) {
    const [x0, x1] = plot.dataset.x.split(",").map(Number);
    const [y0, y1, log] = plot.dataset.y.split(",");
    const value = (y) => {
      const part = 1 - y / 1000;
      return log ? y0 * Math.pow(y1 / y0, part) : Number(y0) + (y1 - y0) * part;
    };
    const paths = [...plot.querySelectorAll("[data-name]")].map((path) => [path.dataset.name, path]);
    const hair = document.createElement("div"), box = document.createElement("div");
    hair.className = "hair";
    box.className = "read-out";
    let read = null;
    plot.addEventListener("pointerleave", () => { hair.remove(); box.remove(); });
    plot.addEventListener("pointermove", (event) => {
      read ??= paths.map(([name, path]) => [name, numbers(path)]);
      const frame = plot.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (event.clientX - frame.left) / frame.width));
      const rows = [Math.round(x0 + (x1 - x0) * part).toLocaleString("en")];
      for (const [name, points] of read) {
        const half = points.length / 2;
        if ("percent" in plot.dataset) {
          const upper = points.slice(0, half), back = points.slice(half), lower = [];
          for (let at = back.length - 2; at >= 0; at -= 2) lower.push(back[at], back[at + 1]);
          const top = height(upper, part * 1000), bottom = height(lower, part * 1000);
          if (top !== null) rows.push(`${name} ${((bottom - top) / 10).toFixed(1)}%`);
        } else {
          const y = height(points, part * 1000);
          if (y !== null) rows.push(`${name} ${written(value(y))}`);
        }
      }
      hair.style.left = `${100 * part}%`;
      box.replaceChildren(...rows.map((row) => Object.assign(document.createElement("div"), { textContent: row })));
      box.style.left = part < 0.5 ? `${100 * part}%` : "auto";
      box.style.right = part < 0.5 ? "auto" : `${100 - 100 * part}%`;
      plot.append(hair, box);
    });
  }
  // A page that is served while a log grows is loaded again once there is something new; the place on it stays.
  const { every, version } = document.body.dataset;
  if (every) setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch("/", { method: "HEAD", cache: "no-store" }).catch(() => null);
    if (answer?.ok && answer.headers.get("X-Version") !== version) location.reload();
  }, 1000 * every);
})();
