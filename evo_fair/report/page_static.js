// A page whose figures bring their points along: their keys show and hide what belongs together.
"use strict";

for (const box of document.querySelectorAll("[data-series]")) {
  box.addEventListener("change", () => {
    const { model } = drawn[box.dataset.figure];
    for (const part of ["points", "line", "ends"]) {
      const one = model(`${part}-${box.dataset.series}`);
      if (one) one.visible = box.checked;
    }
  });
}
draw().then(ready);
