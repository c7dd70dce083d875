// Hover boxes for the pictures; without script the <title> of each mark still answers.
(function () {
  var box = document.createElement("div");
  box.id = "hover"; box.hidden = true; box.setAttribute("role", "status");
  document.body.appendChild(box);
  function show(mark) {
    var at = mark.getBoundingClientRect();
    box.textContent = mark.dataset.hover; box.hidden = false;
    var left = at.right + 10, top = at.top - 8;
    if (left + box.offsetWidth > innerWidth - 8) left = at.left - box.offsetWidth - 10;
    box.style.left = Math.max(8, left) + "px";
    box.style.top = Math.min(Math.max(8, top), Math.max(8, innerHeight - box.offsetHeight - 8)) + "px";
  }
  document.querySelectorAll("g.mark[data-hover]").forEach(function (mark) {
    var title = mark.querySelector("title");
    if (title) { mark.setAttribute("aria-label", title.textContent); title.remove(); }
    mark.addEventListener("mouseenter", function () { show(mark); });
    mark.addEventListener("focus", function () { show(mark); });
    mark.addEventListener("mouseleave", function () { box.hidden = true; });
    mark.addEventListener("blur", function () { box.hidden = true; });
  });
})();
