"""Judges signatures with the Standard Webhooks library for Python, and makes some of its own.

Reads one JSON object a line: key, id, timestamp (seconds), signature, body (base64). Writes one a line: accepted, forged_accepted
(of the same body with one byte more), signature (its own). What is not UTF-8 the library refuses to look at; there its own HMAC
function is asked.
"""

import base64
import json
import sys
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook, hmac_data


def judge(key, case, body):
    headers = {
        "webhook-id": case["id"],
        "webhook-timestamp": str(case["timestamp"]),
        "webhook-signature": case["signature"],
    }
    try:
        body.decode()
    except UnicodeDecodeError:
        return own_signature(key, case, body) in case["signature"].split(" ")
    try:
        Webhook(key).verify(body, headers, json_parse=False)
        return True
    except Exception:
        return False


def own_signature(key, case, body):
    try:
        at = datetime.fromtimestamp(case["timestamp"], tz=timezone.utc)
        return Webhook(key).sign(case["id"], at, body.decode())
    except UnicodeDecodeError:
        secret = base64.b64decode(key.removeprefix("whsec_"))
        signed = f"{case['id']}.{case['timestamp']}.".encode() + body
        return "v1," + base64.b64encode(hmac_data(secret, signed)).decode()


for line in sys.stdin:
    case = json.loads(line)
    body = base64.b64decode(case["body"])
    answer = {
        "accepted": judge(case["key"], case, body),
        "forged_accepted": judge(case["key"], case, body + b"x"),
        "signature": own_signature(case["key"], case, body),
    }
    print(json.dumps(answer))
