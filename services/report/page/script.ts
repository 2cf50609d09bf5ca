/**
 * The little script of the page, as text: shows what was so at the instant under the pointer, or where
 * the arrow keys lead; and opens everything before it is printed. The page is whole without it.
 */

export const script = `(() => {
  const instants = JSON.parse(document.getElementById("instants").textContent);
  const box = document.getElementById("values");
  const show = (svg, index) => {
    const [at, text] = instants[Math.max(0, Math.min(instants.length - 1, index))];
    const d = svg.dataset, width = svg.viewBox.baseVal.width;
    const x = +d.left + (at - d.from) / (d.to - d.from) * (d.right - d.left);
    const cursor = svg.querySelector(".cursor");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.style.visibility = "visible";
    box.textContent = text;
    box.style.visibility = "visible";
    const pixels = svg.clientWidth || svg.getBoundingClientRect().width;
    const left = x / width * pixels;
    box.style.left = (left + 14 + box.offsetWidth < pixels ? left + 14 : Math.max(0, left - 14 - box.offsetWidth)) + "px";
    svg.instant = index;
  };
  const hide = (svg) => {
    box.style.visibility = "hidden";
    svg.querySelector(".cursor").style.visibility = "hidden";
  };
  const nearest = (at) => instants.reduce((best, one, index) =>
    Math.abs(one[0] - at) < Math.abs(instants[best][0] - at) ? index : best, 0);
  for (const svg of document.querySelectorAll("svg.chart")) {
    svg.addEventListener("pointermove", (event) => {
      const r = svg.getBoundingClientRect(), d = svg.dataset;
      const x = (event.clientX - r.left) / r.width * svg.viewBox.baseVal.width;
      if (x < +d.left || x > +d.right) return hide(svg);
      box.style.top = Math.max(0, event.clientY - r.top + 18) + "px";
      show(svg, nearest(+d.from + (x - d.left) / (d.right - d.left) * (d.to - d.from)));
    });
    svg.addEventListener("pointerleave", () => hide(svg));
    svg.addEventListener("blur", () => hide(svg));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      box.style.top = "40px";
      const next = (svg.instant ?? 0) + step;
      show(svg, Math.max(0, Math.min(instants.length - 1, next)));
    });
  }
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not(.quiet)")) one.open = true;
  });
})();`;
