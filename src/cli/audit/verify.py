#!/usr/bin/env python3
"""Checks an exported audit trail of Shiftkeeper: offline, with nothing but Python's own library.

    python3 verify.py [FOLDER] [--key PUBLIC ...]

FOLDER is the one that `shiftkeeper audit export --folder` wrote (by default the one that this file lies in). --key is the public key that
heads must be signed with, in base64, as you kept it away from the daemon's host; without it the keys that the folder names are
believed, which proves less. It says what holds and what nothing vouches for.

It shares no code with the daemon. What it goes by: an entry's hash is SHA-256 of its body; a body names the hash of the entry before it; a
head is signed with ed25519 (RFC 8032) over its own JSON in the form of RFC 8785 without `signature`, and its marks are the first
eight bytes of the hashes of the last entries up to its own; `sha256` in manifest.json is over the rest of it in the form of RFC 8785.

Exit codes: 0 everything holds, 1 something does not, 2 wrong usage.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sys

MARK = 8

# ed25519, by RFC 8032, section 5.1. Points are (x, y, z, t) with x/z and y/z the coordinates and t = x*y/z.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def add(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def decoded(encoded):
    """The point of 32 bytes, or None where they are none."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def encoded(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decoded((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(key, message, signature):
    point = decoded(key)
    scalar = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or point is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    minus = (P - point[0], point[1], point[2], P - point[3])
    both = add(BASE, minus)
    total = NEUTRAL
    for bit in range(max(scalar.bit_length(), challenge.bit_length()) - 1, -1, -1):
        total = add(total, total)
        step = (scalar >> bit & 1, challenge >> bit & 1)
        if step != (0, 0):
            total = add(total, {(1, 0): BASE, (0, 1): minus, (1, 1): both}[step])
    return encoded(total) == signature[:32]


class Bad(Exception):
    """Something does not hold."""


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise Bad(f"{path.name}, line {number}: {error}") from error


def canonical(value):
    """The RFC 8785 form of JSON whose numbers are whole and whose keys are ASCII."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def check_manifest(manifest):
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    if hashlib.sha256(canonical(rest)).hexdigest() != manifest["sha256"]:
        raise Bad("manifest.json is not what was exported: its SHA-256 is another")


def check_files(folder, manifest):
    for name, said in manifest["files"].items():
        digest, size = hashlib.sha256(), 0
        try:
            with open(folder / name, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
        except OSError as error:
            raise Bad(f"{name}: {error.strerror}") from error
        if (size, digest.hexdigest()) != (said["bytes"], said["sha256"]):
            raise Bad(f"{name} is not the file that was exported: its size or SHA-256 is another")


def check_head(head, tenant, keys):
    seq = head["seq"]
    key = base64.b64decode(head["publicKey"], validate=True)
    claim = {name: value for name, value in head.items() if name != "signature"}
    if head["tenant"] != tenant or head["v"] != 1:
        raise Bad(f"the head of entry {seq} is of another tenant or version")
    if head["publicKey"] not in keys:
        raise Bad(f"the head of entry {seq} is signed with {head['publicKey']}, which is not one of the keys to be trusted")
    if hashlib.sha256(key).hexdigest()[:16] != head["keyId"]:
        raise Bad(f"the head of entry {seq} names another key than it bears")
    if not is_signed(key, canonical(claim), base64.b64decode(head["signature"], validate=True)):
        raise Bad(f"the signature of the head of entry {seq} is not over what it says")


def check_entries(folder, tenant, first):
    """The hash of each entry by its number, and what the first one links to."""
    hashes, before, expected = {}, None, first
    for line in lines(folder / "entries.jsonl"):
        seq, digest = line["seq"], hashlib.sha256(line["body"].encode()).hexdigest()
        body = json.loads(line["body"])
        if seq != expected:
            raise Bad(f"entry {expected} should follow, entry {seq} does")
        if digest != line["hash"]:
            raise Bad(f"entry {seq}: its hash is not that of its body")
        if (body["seq"], body["tenant"], body["v"]) != (seq, tenant, 1):
            raise Bad(f"entry {seq}: its body belongs to another place, tenant or version")
        if hashes and body["prev"] != hashes[seq - 1]:
            raise Bad(f"entry {seq} does not link to the entry before it")
        if not hashes:
            before = body["prev"]
        hashes[seq] = digest
        expected += 1
    return hashes, before


def check_marks(head, hashes):
    seq, marks = head["seq"], base64.b64decode(head["marks"], validate=True)
    start = seq + 1 - len(marks) // MARK
    for place in range(len(marks) // MARK):
        mark = marks[place * MARK:(place + 1) * MARK].hex()
        if start + place in hashes and hashes[start + place][:2 * MARK] != mark:
            raise Bad(f"entry {start + place} is not the one that the head of entry {seq} speaks of")
    if hashes.get(seq, head["hash"]) != head["hash"]:
        raise Bad(f"entry {seq} is not the one that its head speaks of")


def check(folder, keys):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    check_manifest(manifest)
    check_files(folder, manifest)
    tenant, own = manifest["tenant"], not keys
    keys = keys or manifest["keys"]
    hashes, before = check_entries(folder, tenant, manifest["from"])
    if len(hashes) != manifest["entries"]:
        raise Bad(f"{manifest['entries']} entries were exported, {len(hashes)} are here")
    heads, reached = list(lines(folder / "heads.jsonl")), None
    for head in heads:
        check_head(head, tenant, keys)
        if reached is not None and head["after"] != reached:
            raise Bad(f"a head between entries {reached} and {head['seq']} is missing")
        check_marks(head, hashes)
        reached = head["seq"]
    linked = {head["seq"]: head["hash"] for head in heads}
    first = manifest["from"]
    if hashes and first == 1 and before != "0" * 64:
        raise Bad("entry 1 links to an entry before it")
    if hashes and first > 1 and linked.get(first - 1, before) != before:
        raise Bad(f"entry {first} does not link to the entry that the head before it speaks of")
    tell(tenant, hashes, heads, keys, own)
    if first > 1 and first - 1 not in linked:
        print(f"What entry {first} links to is not in this folder.")


def tell(tenant, hashes, heads, keys, own):
    if not hashes:
        print(f"{tenant}: there is no entry in this folder.")
        return
    last = max(hashes)
    print(f"{tenant}: entries {min(hashes)} to {last} hold, and so {'does 1 signed head' if len(heads) == 1 else f'do {len(heads)} signed heads'}.")
    vouched = max((head["seq"] for head in heads), default=0)
    if vouched < last:
        print(f"Nothing signed speaks of the entries from {max(vouched + 1, min(hashes))} on.")
    print("Heads were held against the key " + " or ".join(keys) + ".")
    if own:
        print("That key is the folder's own word: compare it with the one that you kept, or name that one with --key.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("--key", action="append", default=[], metavar="PUBLIC")
    options = parser.parse_args()
    try:
        check(options.folder, options.key)
    except Bad as error:
        print(f"does not hold: {error}")
        return 1
    except (OSError, KeyError, TypeError, ValueError) as error:
        print(f"does not hold: {options.folder} is not what was exported: {type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
