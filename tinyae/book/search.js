"use strict";
// The search box: every word must occur; a name that begins with them comes first.

(() => {
  const up = document.currentScript.dataset.up;
  const box = document.querySelector(".search input");
  const list = document.querySelector(".search ol");
  const SHOWN = 14;
  const fold = (text) => text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "");
  let folded = null; // made at the first search
  let chosen = 0;

  function score(entry, words) {
    let total = 0;
    for (const word of words) {
      const at = entry.name.indexOf(word);
      if (entry.name === word) total += 100;
      else if (at === 0) total += 60 - Math.min(20, entry.name.length - word.length);
      else if (at > 0) total += 30 - Math.min(20, entry.name.length - word.length);
      else if (entry.text.includes(word)) total += 5;
      else return 0;
    }
    return total + { layer: 9, loss: 9, model: 9, chapter: 8, exercise: 7, class: 5, file: 4 }[entry.kind] || total;
  }

  function search(query) {
    folded ??= INDEX.map(([name, kind, , text]) => ({ name: fold(name), kind, text: fold(text) }));
    const words = fold(query).split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    return folded
      .map((entry, i) => [score(entry, words), i])
      .filter(([points]) => points > 0)
      .sort((a, b) => b[0] - a[0] || a[1] - b[1])
      .slice(0, SHOWN)
      .map(([, i]) => INDEX[i]);
  }

  function show() {
    const found = search(box.value);
    list.replaceChildren();
    for (const [name, kind, href, text] of found) {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = up + href;
      const title = document.createElement("b");
      title.textContent = name;
      const what = document.createElement("i");
      what.textContent = kind;
      const about = document.createElement("span");
      about.textContent = text.slice(0, 110);
      link.append(title, what, about);
      item.append(link);
      list.append(item);
    }
    if (!found.length && box.value.trim()) {
      const item = document.createElement("li");
      item.className = "none";
      item.textContent = "Nothing has all of these words.";
      list.append(item);
    }
    list.hidden = !box.value.trim();
    choose(0);
  }

  function choose(i) {
    const links = list.querySelectorAll("a");
    chosen = links.length ? (i + links.length) % links.length : 0;
    links.forEach((link, n) => link.classList.toggle("chosen", n === chosen));
    links[chosen]?.scrollIntoView({ block: "nearest" });
  }

  box.addEventListener("input", show);
  box.addEventListener("focus", () => box.value.trim() && show());
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") list.querySelectorAll("a")[chosen]?.click();
    else if (event.key === "Escape") { list.hidden = true; box.blur(); }
    else return;
    event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search")) list.hidden = true;
  });
  document.addEventListener("keydown", (event) => {
    const typing = /INPUT|TEXTAREA/.test(document.activeElement?.tagName ?? "");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { box.focus(); event.preventDefault(); }
    else if (event.key === "ArrowLeft") document.querySelector("a[rel=prev]")?.click();
    else if (event.key === "ArrowRight") document.querySelector("a[rel=next]")?.click();
  });
})();
