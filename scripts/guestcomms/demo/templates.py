"""What the two organizations of the demonstration write."""

from __future__ import annotations

from dataclasses import dataclass

_PAGE = """\
<!doctype html>
<html><head><meta charset="utf-8"></head>
<body style="margin:0;background:{paper};font-family:Georgia,serif;color:#333">
<div style="max-width:34em;margin:2em auto;padding:2em;background:#fff;border-top:6px solid {ink}">
<p style="letter-spacing:.2em;color:{ink}">{{{{organization_name}}}}</p>
<h1 style="font-weight:normal">{heading}</h1>
<p>{{{{guest_name|dear guest}}}},</p>
{text}
<p style="margin:2em 0"><a style="background:{ink};color:#fff;padding:.8em;text-decoration:none"
href="{{{{rsvp_url}}}}">{button}</a></p>
<p style="font-size:.8em;color:#888">You get this because you are on the guest list.
<a href="{{{{unsubscribe_url}}}}">No more of these.</a></p>
</div></body></html>
"""


@dataclass(frozen=True)
class Organization:
    """A tenant of the demonstration; its id never changes, so a second run finds it."""

    organization_id: str
    name: str
    key: str
    time_zone: str
    guests: int
    template: str
    title: str
    subject: str
    body: str
    text: str
    sender_name: str
    sender_address: str
    rsvp_url: str


ORGANIZATIONS = (
    Organization(
        "018f3a5c-0001-7de3-8000-00000000d001",
        "Anna & Béla",
        "anna-bela",
        "Europe/Budapest",
        200,
        "Save the date",
        "Save the date",
        "{{guest_name}}, we are getting married",
        _PAGE.format(
            paper="#f6f1ea",
            ink="#8a5a44",
            heading="Save the date: 12 June",
            text="<p>we are getting married in Szentendre, by the river, and it would not be"
            " the same without you{{#if table}}: we keep you a seat at table"
            " <b>{{table}}</b>{{/if}}.</p>",
            button="Tell us whether you come",
        ),
        "{{guest_name}}, we are getting married on 12 June in Szentendre. {{rsvp_url}}",
        "Anna & Béla",
        "anna.bela@weddings.example.org",
        "https://weddings.example.org/anna-bela/rsvp",
    ),
    Organization(
        "018f3a5c-0002-7de3-8000-00000000d002",
        "Hotel Akropolis Events",
        "akropolis",
        "Europe/Athens",
        150,
        "Arrival",
        "How to get here",
        "Your arrival on Friday",
        _PAGE.format(
            paper="#eaf1f6",
            ink="#1f5673",
            heading="See you on Friday",
            text="<p>our shuttle waits at the airport from 10 to 22 h{{#if table}}; at dinner you"
            " sit at table <b>{{table}}</b>{{/if}}.</p>",
            button="Book your seat",
        ),
        "{{guest_name}}, our shuttle waits from 10 to 22 h. {{rsvp_url}}",
        "Hotel Akropolis",
        "events@akropolis.example.org",
        "https://akropolis.example.org/shuttle",
    ),
)
