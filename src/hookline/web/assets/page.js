// Refreshes the part of a page that changes. Without this script, the same page shows the facts of its request.
"use strict";

const live = () => document.getElementById("live");
const status = document.getElementById("refresh");
let paused = false;
let timer = 0;

function seconds() {
  return Number(live().dataset.refreshSeconds);
}

function schedule() {
  window.clearTimeout(timer);
  if (!paused) timer = window.setTimeout(refresh, seconds() * 1000);
}

function busy() {
  const selection = document.getSelection();
  return document.hidden || (selection !== null && !selection.isCollapsed);
}

function refresh() {
  if (busy()) return schedule();
  const request = new XMLHttpRequest();
  request.open("GET", window.location.href);
  request.responseType = "document";
  request.timeout = 20000;
  request.onload = () => {
    const fresh = request.response?.getElementById("live"); // also that of a page that shows an error
    if (fresh) {
      replace(fresh);
      say("");
    } else {
      say(request.status === 403 ? "The session has ended: open a new one-time URL." : "No answer: the page may be old.");
    }
    schedule();
  };
  request.onerror = request.ontimeout = () => {
    say("No answer: the page may be old.");
    schedule();
  };
  request.send();
}

// The keyboard focus and the scroll position stay where they are.
function replace(fresh) {
  const old = live();
  if (busy() || old.isEqualNode(fresh)) return;
  const focused = old.contains(document.activeElement) ? key(document.activeElement) : null;
  const scrolled = [...old.querySelectorAll(".scroll, pre")].map((one) => one.scrollLeft);
  old.replaceWith(document.adoptNode(fresh));
  live().querySelectorAll(".scroll, pre").forEach((one, at) => { one.scrollLeft = scrolled[at] ?? 0; });
  if (focused !== null) {
    const again = [...live().querySelectorAll("a[href], [tabindex]")].find((one) => key(one) === focused);
    again?.focus({ preventScroll: true });
  }
}

function key(element) {
  return element.getAttribute("href") ?? element.getAttribute("aria-label");
}

function say(text) {
  note.textContent = text;
}

const button = document.createElement("button");
const note = document.createElement("span");
if (live() !== null) {
  note.setAttribute("role", "status");
  button.type = "button";
  const label = () => { button.textContent = paused ? "Refresh again" : "Pause refreshing"; };
  button.addEventListener("click", () => {
    paused = !paused;
    label();
    if (paused) window.clearTimeout(timer); else refresh();
  });
  label();
  status.append(button, " ", note);
  schedule();
}
