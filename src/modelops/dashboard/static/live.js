// Shows a page anew when it reads otherwise; without it a page is what it was when it was asked for.
"use strict";
{
  const own = document.currentScript;
  const note = document.getElementById("live");
  const at = own.dataset.of + location.search;
  const AGAIN = 60_000;
  // A page that was just loaded is new. A browser holds few lines to one server, and none is taken by a page that is
  // only passed through, or by what prints or saves a page once nothing more is loaded for it.
  const REST = 15_000;
  let stream = null;
  let waits = 0;
  const content = () => document.getElementById("content");

  // Nobody's reading, typing or choosing is interrupted.
  const busy = () => {
    const active = document.activeElement;
    const chosen = document.getSelection();
    const fields = [...content().querySelectorAll("input:not([type=checkbox])")];
    return (
      (active !== content() && content().contains(active)) ||
      (chosen !== null && !chosen.isCollapsed) ||
      fields.some((field) => field.value !== field.defaultValue) ||
      [...content().querySelectorAll("input[type=checkbox]")].some((box) => box.checked !== box.defaultChecked)
    );
  };

  const show = async () => {
    const answer = await fetch(location.href.split("#")[0]);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = [...document.querySelectorAll("main details")].map((each) => each.open);
    for (const part of ["main", "body > footer"]) {
      document.querySelector(part).replaceWith(document.adoptNode(fresh.querySelector(part)));
    }
    const folds = [...document.querySelectorAll("main details")];
    if (folds.length === open.length) folds.forEach((each, place) => (each.open = open[place]));
    document.body.dataset.seen = fresh.body.dataset.seen;
    document.title = fresh.title;
    delete note.dataset.lost;
    note.textContent = `Shown anew at ${new Date().toLocaleTimeString()}.`;
    note.hidden = false;
    document.dispatchEvent(new Event("shown"));
  };

  const offer = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Show it";
    button.addEventListener("click", show);
    delete note.dataset.lost;
    note.replaceChildren("There is something newer. ", button);
    note.hidden = false;
  };

  const stop = () => {
    clearTimeout(waits);
    stream?.close();
    stream = null;
  };

  const follow = () => {
    stop();
    stream = new EventSource(`${own.dataset.live}?of=${encodeURIComponent(at)}`);
    stream.addEventListener("open", () => {
      if (note.dataset.lost === undefined) return;
      delete note.dataset.lost;
      note.hidden = true;
    });
    stream.addEventListener("seen", (event) => {
      if (event.data === document.body.dataset.seen) return;
      if (busy()) offer();
      else show();
    });
    stream.addEventListener("error", () => {
      // The browser asks again where the line broke. Where it was refused it gives up for good.
      if (stream?.readyState !== EventSource.CLOSED) return;
      stop();
      waits = setTimeout(follow, AGAIN);
      // What is offered stays.
      if (!note.hidden && note.querySelector("button") !== null) return;
      note.textContent = "This page is not kept up to date now; that is tried again in a minute.";
      note.dataset.lost = "";
      note.hidden = false;
    });
  };

  // What nobody looks at takes no place of those that are looked at.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : follow()));
  if (!document.hidden) waits = setTimeout(follow, REST);
}
