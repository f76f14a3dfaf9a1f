"""API keys, and the doctor."""

import time
from email.utils import parsedate_to_datetime
from typing import Annotated

import httpx
import typer

from rankwise.errors import Json, RankwiseError, Refused
from rankwise.place import find_place
from rankwise.session import AsJson, Session, client_of, out, say_json
from rankwise.tables import age, table

keys_app = typer.Typer(no_args_is_help=True, help="API keys of the project.")
WORST_SKEW_S = 120


def register(app: typer.Typer) -> None:
    keys_app.command("list")(list_keys)
    keys_app.command("issue")(issue)
    keys_app.command("revoke")(revoke)
    app.add_typer(keys_app, name="keys")
    app.command()(doctor)


def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """Keys that were issued; never the keys themselves."""
    found = list(client_of(context).keys())
    if as_json:
        say_json(found)
        return
    made = table("key", "name", "scopes", "issued", "last used", "revoked")
    for one in found:
        used, revoked = one["last_used_at"], one["revoked_at"]
        made.add_row(
            one["id"],
            one["name"],
            ", ".join(one["scopes"]),
            age(one["created_at"]),
            age(used) if used else "never",
            age(revoked) if revoked else "",
        )
    out.print(made)


def issue(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[str], typer.Option(help="read, submit or admin; repeatable.")],
    as_json: AsJson = False,
) -> None:
    """A new key, shown this one time."""
    found = client_of(context).issue_key(name, scope)
    if as_json:
        say_json(found)
    else:
        out.print(found["key"], highlight=False, soft_wrap=True)


def revoke(context: typer.Context, key_id: Annotated[str, typer.Argument(metavar="KEY")]) -> None:
    """It lets nobody in any more."""
    client_of(context).revoke_key(key_id)


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Whether the service answers, its parts work, the key is good and the clocks agree."""
    session: Session = context.obj
    place = find_place(session.url, session.key)
    findings = examine(place.url, session)
    if as_json:
        say_json(findings)
    else:
        for each in findings:
            mark = "[green]ok[/]  " if each["ok"] else "[red]bad[/] "
            out.print(f"{mark} {each['what']}: {each['told']}", highlight=False)
    if not all(each["ok"] for each in findings):
        raise RankwiseError("Not everything is in order.")


def examine(url: str, session: Session) -> list[Json]:
    try:
        answer = httpx.get(f"{url}/readyz", timeout=10)
    except httpx.TransportError as error:
        return [finding("service", False, f"{url} does not answer: {error}")]
    parts = answer.json()["checks"]
    told = ", ".join(
        f"{name} {'ok' if part['ok'] else part.get('detail') or 'away'}"
        for name, part in parts.items()
    )
    skew = abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time())
    return [
        finding("service", True, url),
        finding("parts", answer.is_success, told),
        finding("clock", skew < WORST_SKEW_S, f"{skew:.0f} s apart"),
        key_finding(session),
    ]


def key_finding(session: Session) -> Json:
    try:
        next(session.client.jobs(limit=1), None)
    except Refused as refused:
        return finding("key", False, str(refused).splitlines()[0])
    return finding("key", True, "may read")


def finding(what: str, ok: bool, told: str) -> Json:
    return {"what": what, "ok": ok, "told": told}
