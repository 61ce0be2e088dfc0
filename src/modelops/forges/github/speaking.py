"""Speaking on GitHub: one comment for a key and one check run for a name, whoever else speaks there or at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from modelops.errors import ModelOpsError
from modelops.forges import Account, Annotation, Explanation
from modelops.forges.github.records import account_of, comment_of, cut, with_key
from modelops.forges.github.session import Session

__all__ = ["Speaker", "runs_of"]

_BATCH = 50
"""Annotations that GitHub takes with one request."""
_ANNOTATIONS = 500
_TITLE, _DESCRIPTION = 255, 140
_STATES = {"success": "success", "neutral": "success", "skipped": "success", "pending": "pending"}
_SAID_NOTHING = Explanation("")


def runs_of(api: Session, at: str, commit: str) -> Iterator[Any]:
    """Yield the newest check run of each name and app on a commit."""
    return api.pages(f"{at}/commits/{commit}/check-runs", {"filter": "latest"})


class Speaker:
    """Who speaks on the pull requests of one repository; what others say there is never touched."""

    def __init__(self, api: Session, at: str, me: Account) -> None:
        self._api, self._at, self._me = api, at, me

    # --- comments

    def comment(self, number: int, key: str, body: str) -> None:
        """Write a comment, or replace one's own with the same key where it stands.

        Of several that were made at the same time the oldest stays. One that somebody deletes meanwhile is written
        again.
        """
        text = with_key(body, key)
        own = self._own(number, key)
        if not own:
            path = f"{self._at}/issues/{number}/comments"
            self._api.create(path, {"body": text}, lambda: self._own(number, key) or None)
            own = self._own(number, key)
        for one in own[1:]:
            self._gone("DELETE", one)
        for one in own[:1]:
            same = (one.get("body") or "").replace("\r\n", "\n") == text
            if not same and self._gone("PATCH", one, {"body": text}):
                self._api.create(f"{self._at}/issues/{number}/comments", {"body": text}, lambda: None)

    def written(self, number: int, key: str) -> str | None:
        """Return what one's own comment with a key says, None without one."""
        own = self._own(number, key)
        return comment_of(own[0]).body if own else None

    def _own(self, number: int, key: str) -> list[Any]:
        found = self._api.pages(f"{self._at}/issues/{number}/comments")
        mine = [one for one in found if comment_of(one).key == key and account_of(one.get("user")).id == self._me.id]
        return sorted(mine, key=lambda one: int(one["id"]))

    def _gone(self, method: str, comment: Any, body: dict[str, str] | None = None) -> bool:
        """Change a comment, and tell whether it is gone already."""
        try:
            self._api.change(method, f"{self._at}/issues/comments/{comment['id']}", body)
        except ModelOpsError as error:
            if error.first.code != "forge-absent":
                raise
            return True
        return False

    # --- checks

    def check(self, commit: str, name: str, conclusion: str, said: Explanation | None) -> None:
        """Conclude a named check of a commit: a check run, or a status where the token is a person's."""
        said = said or _SAID_NOTHING
        if not self._me.machine:
            # Only apps may write check runs.
            self._status(commit, name, conclusion, said)
            return
        annotations = said.annotations[:_ANNOTATIONS]
        mark = _mark(name, conclusion, said)
        run = self._run(commit, name)
        if run is not None and run.get("external_id") == mark:
            done = int((run.get("output") or {}).get("annotations_count") or 0)
            if done >= len(annotations) and (run["status"] == "completed") == (conclusion != "pending"):
                return
        else:
            asked = {"name": name, "head_sha": commit, "external_id": mark, **_link(said)}
            asked |= _said(said, annotations[:_BATCH]) | _ended(conclusion, len(annotations) <= _BATCH)
            again = run is not None and run["status"] != "completed" and not _annotated(run)
            run = self._begin(run["id"] if run is not None and again else None, asked, commit, name, mark)
            done = min(_BATCH, len(annotations))
            if done == len(annotations):
                return
        self._rest(run, conclusion, said, annotations, done)

    def _begin(self, id: int | None, asked: dict[str, Any], commit: str, name: str, mark: str) -> Any:
        """Open a check run, or take up one's own that has not ended, and return it."""
        if id is not None:
            del asked["head_sha"]
            return self._api.change("PATCH", f"{self._at}/check-runs/{id}", asked).document

        def there() -> Any | None:
            found = self._run(commit, name)
            return found if found is not None and found.get("external_id") == mark else None

        made = self._api.create(f"{self._at}/check-runs", asked, there)
        return made.document if hasattr(made, "document") else made

    def _rest(self, run: Any, conclusion: str, said: Explanation, every: tuple[Annotation, ...], done: int) -> None:
        """Append the annotations that are not there yet, some with each request, and end the run with the last."""
        path = f"{self._at}/check-runs/{run['id']}"
        while True:
            batch = every[done : done + _BATCH]
            asked = _said(said, batch) | _ended(conclusion, done + len(batch) >= len(every))
            wanted = done + len(batch)

            # Sent twice, a batch would stand there twice.
            self._api.create(path, asked, partial(self._reached, path, wanted), method="PATCH")
            done = wanted
            if done >= len(every):
                return

    def _reached(self, path: str, wanted: int) -> bool | None:
        """Tell whether a run has so many annotations, None if not."""
        found = self._api.get(path).document
        return int((found.get("output") or {}).get("annotations_count") or 0) >= wanted or None

    def _run(self, commit: str, name: str) -> Any | None:
        """Return one's own newest run of a name; another app's of the same name is not one's own."""
        mine = [
            run
            for run in runs_of(self._api, self._at, commit)
            if run["name"] == name and f"{(run.get('app') or {}).get('slug')}[bot]" == self._me.login
        ]
        return max(mine, key=lambda run: int(run["id"]), default=None)

    def _status(self, commit: str, name: str, conclusion: str, said: Explanation) -> None:
        asked = {"state": _STATES.get(conclusion, "failure"), "context": name}
        asked |= {"description": said.title[:_DESCRIPTION]} if said.title else {}
        asked |= {"target_url": said.url} if said.url else {}
        found = self._api.get(f"{self._at}/commits/{commit}/status", {"per_page": 100}).document["statuses"]
        there: dict[str, Any] = next((one for one in found if one["context"] == name), {})
        if any((there.get(key) or "") != value for key, value in asked.items()):
            self._api.change("POST", f"{self._at}/statuses/{commit}", asked)


def _annotated(run: Any) -> bool:
    return bool((run.get("output") or {}).get("annotations_count"))


def _ended(conclusion: str, last: bool) -> dict[str, str]:
    if conclusion == "pending" or not last:
        return {"status": "in_progress"}
    return {"status": "completed", "conclusion": conclusion}


def _link(said: Explanation) -> dict[str, str]:
    return {"details_url": said.url} if said.url else {}


def _said(said: Explanation, annotations: tuple[Annotation, ...]) -> dict[str, Any]:
    if not said.title and not annotations:
        return {}
    output: dict[str, Any] = {"title": said.title[:_TITLE], "summary": cut(said.summary or said.title, 1)}
    told = [
        {
            "path": one.path,
            "start_line": max(one.line, 1),
            "end_line": max(one.line, 1),
            "annotation_level": one.level,
            "message": cut(one.message, 1),
            **({"title": one.title[:_TITLE]} if one.title else {}),
        }
        for one in annotations
    ]
    return {"output": output | ({"annotations": told} if told else {})}


def _mark(name: str, conclusion: str, said: Explanation) -> str:
    """Return what tells that a run says the same already."""
    told = [
        said.title,
        said.summary,
        said.url,
        [[a.path, a.line, a.level, a.message, a.title] for a in said.annotations],
    ]
    return hashlib.sha256(json.dumps([name, conclusion, told]).encode()).hexdigest()
