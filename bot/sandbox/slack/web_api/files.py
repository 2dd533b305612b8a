"""files.*: announce an upload, take its bytes, share the file (docs.slack.dev: messaging/working-with-files)."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from bot.sandbox.slack.limits import TIER_3, TIER_4
from bot.sandbox.slack.messages import check_message, content, from_app
from bot.sandbox.slack.refusal import SlackFault, missing
from bot.sandbox.slack.web_api.method import Answer, Call, method
from bot.sandbox.slack.workspace import BOT_USER, DOMAIN, TEAM, Channel, Workspace

SNIPPET_BYTES = 1024 * 1024
MOST_CHANNELS = 100
MOST_ALT_TEXT = 1000
PREVIEW = 700
_SNIPPETS = {
    "text": "Plain Text", "shell": "Shell", "json": "JSON", "yaml": "YAML", "diff": "Diff", "python": "Python", "javascript": "JavaScript/JSON",
    "go": "Go", "markdown": "Markdown (raw)", "xml": "XML", "sql": "SQL", "dockerfile": "Docker", "csv": "CSV", "html": "HTML", "c": "C",
}  # fmt: skip
"""The snippet types that bots like this one use; all others of Slack's list are refused as unknown."""


@method("files.getUploadURLExternal", "files:write", per_minute=TIER_4)
async def _upload_url(call: Call) -> Answer:
    name, size, snippet = call.text("filename"), call.integer("length", 0), call.text("snippet_type")
    if not name or size <= 0:
        raise SlackFault("missing_argument")
    if snippet and snippet not in _SNIPPETS:
        raise SlackFault("unknown_snippet_type")
    if snippet and size > SNIPPET_BYTES:
        raise SlackFault("snippet_too_large")
    if len(call.text("alt_txt")) > MOST_ALT_TEXT:
        raise SlackFault("alt_txt_too_large")
    file = _file(call, name, size, snippet)
    call.workspace.uploads[file["id"]] = file
    return {"upload_url": f"{call.api.base}/upload/{file['id']}", "file_id": file["id"]}


def _file(call: Call, name: str, size: int, snippet: str) -> dict[str, Any]:
    """A file object as recorded in a `file_share` event (duqaXxX/code-with-slack, 102)."""
    id_, now = call.workspace.id("F"), int(call.workspace.clock.now())
    private = f"{call.api.base}/files-pri/{TEAM}-{id_}"
    kind = snippet or name.rpartition(".")[2].lower()
    return {
        "id": id_, "created": now, "timestamp": now, "name": name, "title": name, "mimetype": "text/plain" if snippet else mimetypes.guess_type(name)[0] or "application/octet-stream",
        "filetype": kind, "pretty_type": _SNIPPETS.get(kind, kind.upper()), "user": BOT_USER, "user_team": TEAM, "editable": bool(snippet), "size": size,
        "mode": "snippet" if snippet else "hosted", "is_external": False, "external_type": "", "is_public": False, "public_url_shared": False,
        "display_as_bot": False, "username": "", "url_private": f"{private}/{name}", "url_private_download": f"{private}/download/{name}",
        "permalink": f"https://{DOMAIN}.slack.com/files/{BOT_USER}/{id_}/{name}", "is_starred": False, "has_rich_preview": False, "file_access": "visible",
        "shares": {}, "channels": [], "groups": [], "ims": [], **({"alt_txt": call.text("alt_txt")} if call.text("alt_txt") else {}),
    }  # fmt: skip


async def take_bytes(workspace: Workspace, request: web.Request) -> web.Response:
    """
    Take the bytes of an announced upload, exactly as many as announced.

    They are the raw body or a form's field, as the SDKs send them.
    """
    file = workspace.uploads.get(request.match_info["file"])
    if file is None:
        return web.Response(status=404, text="no such upload")
    data = await _bytes(request)
    if len(data) != file["size"]:
        return web.Response(status=400, text=f"{file['size']} bytes were announced, {len(data)} came")
    workspace.contents[file["id"]] = data
    return web.Response(text=f"OK - {len(data)}")


async def _bytes(request: web.Request) -> bytes:
    if request.content_type != "multipart/form-data":
        return await request.read()
    for field in (await request.post()).values():
        if isinstance(field, web.FileField):
            return field.file.read()
        if isinstance(field, bytes):
            return field
    return b""


@method("files.completeUploadExternal", "files:write", per_minute=TIER_4)
async def _complete(call: Call) -> Answer:
    """Complete uploads. Slack's page says: once for each upload. A refused call may be repeated."""
    files, channels = _uploaded(call), _channels(call)
    message = {**from_app(call.api.app.name), "subtype": "file_share", "upload": True, "display_as_bot": False}
    message |= _comment(call) | _thread(call, channels)
    for file in files:
        call.workspace.files[file["id"]] = call.workspace.uploads.pop(file["id"])
    for channel in channels:
        _share(call, channel, files, message)
    return {"files": files}


def _uploaded(call: Call) -> list[dict[str, Any]]:
    named: Any = call.arguments.get("files")
    if not isinstance(named, list) or not named or not all(isinstance(each, dict) for each in named):
        raise missing("files")
    titles = {str(each.get("id")): each.get("title") for each in named}
    if not titles.keys() <= call.workspace.uploads.keys() & call.workspace.contents.keys():
        raise SlackFault("file_not_found")  # also for a completed upload: it can be completed only once
    for id_, title in titles.items():
        file = call.workspace.uploads[id_]
        file["title"] = title or file["title"]
        if file["mode"] == "snippet":
            file |= _preview(call.workspace.contents[id_])
    return [call.workspace.uploads[id_] for id_ in titles]


def _preview(data: bytes) -> dict[str, Any]:
    text = data.decode("utf-8", "replace")
    lines = text.count("\n") + 1
    return {
        "preview": text[:PREVIEW], "preview_is_truncated": len(text) > PREVIEW, "lines": lines,
        "lines_more": lines - text[:PREVIEW].count("\n") - 1,
    }  # fmt: skip


def _channels(call: Call) -> Sequence[Channel]:
    names = [call.text("channel_id")] if call.text("channel_id") else call.names("channels")
    if len(names) > MOST_CHANNELS:
        raise SlackFault("channels_limit_exceeded")
    return [Call(call.api, {"channel": name}, call.warnings).joined() for name in names]


def _comment(call: Call) -> dict[str, Any]:
    """The comment of the shared files. `blocks` are used only without `initial_comment`."""
    comment, blocks = call.text("initial_comment"), call.arguments.get("blocks")
    given = {"text": comment} if comment else {"blocks": blocks} if blocks else {}
    if given:
        check_message(given)
    return content(given)


def _thread(call: Call, channels: Sequence[Channel]) -> dict[str, Any]:
    """The thread to share in. It needs exactly one channel."""
    thread = call.text("thread_ts")
    if not thread:
        return {}
    if len(channels) != 1:
        raise SlackFault("invalid_arguments")
    if thread not in channels[0].messages:
        raise SlackFault("thread_not_found")
    return {"thread_ts": thread, "parent_user_id": channels[0].messages[thread]["user"]}


def _share(call: Call, channel: Channel, files: Sequence[dict[str, Any]], message: Mapping[str, Any]) -> None:
    for file in files:
        where = file[{"channel": "channels", "group": "groups", "im": "ims"}[channel.kind]]
        where.append(channel.id)
        file["is_public"] = file["is_public"] or not channel.private
    stored = call.workspace.post(channel, {**message, "files": files})
    kind = "private" if channel.private else "public"
    for file in files:
        share = {"ts": stored["ts"], "channel_name": channel.name, "team_id": TEAM, "share_user_id": BOT_USER}
        share |= {"thread_ts": stored["thread_ts"]} if "thread_ts" in stored else {}
        file["shares"].setdefault(kind, {}).setdefault(channel.id, []).append(share)
    call.api.events.message(channel, stored)


def _known(call: Call) -> dict[str, Any]:
    file = call.workspace.files.get(call.need("file"))
    if file is None or file["id"] not in call.workspace.contents:
        raise SlackFault("file_not_found")
    return file


@method("files.info", "files:read", per_minute=TIER_4)
async def _info(call: Call) -> Answer:
    return {"file": _known(call), "comments": [], "response_metadata": {"next_cursor": ""}}


@method("files.delete", "files:write", per_minute=TIER_3)
async def _delete(call: Call) -> Answer:
    file = _known(call)
    if file["user"] != BOT_USER:
        raise SlackFault("cant_delete_file")
    del call.workspace.files[file["id"]], call.workspace.contents[file["id"]]
    for channel in call.workspace.channels.values():
        for message in [each for each in channel.messages.values() if file in each.get("files", [])]:
            message["files"] = [each for each in message["files"] if each is not file]
            if not message["files"] and not message.get("text"):
                call.workspace.delete(channel, message["ts"])
            else:
                call.workspace.changed_message(channel, message)
    return {}
