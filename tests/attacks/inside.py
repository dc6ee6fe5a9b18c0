"""Runs inside of a bottle, with its Python alone: makes the attempts that stdin lists, and prints how each ended.

An outcome says what was answered, what could be read, and for commands and programs whether they succeeded.
"""

import contextlib
import functools
import json
import os
import re
import resource
import socket
import ssl
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 8.0
QUIET = 0.4
"""Seconds without a word before an answer began, and after."""

PROXY = 3128
SAID = 4000
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
AGAIN = re.compile(r"\{(.)\*(\d+)\}")
LINES = re.compile(r"\{lines\*(\d+)\}")
DIGITS = {"00000": "0", "00001": "1", "00010": "2", **{format(25 + n, "06b"): str(3 + n) for n in range(7)}}
"""Huffman codes of RFC 7541, Appendix B."""

INDEXED = {0x88: "200", 0x89: "204", 0x8A: "206", 0x8B: "304", 0x8C: "400", 0x8D: "404", 0x8E: "500"}


def written(text, mark, body=b""):
    """Bytes of a text, or of the lines of a head, with what is known only here."""
    if isinstance(text, list):
        text = "".join(f"{line}\r\n" for line in [*text, ""])
    text = text.replace("{mark}", mark).replace("{length}", str(len(body)))
    text = LINES.sub(lambda found: "".join(f"X-{n}: x\r\n" for n in range(int(found[1]))), text)
    return AGAIN.sub(lambda found: found[1] * int(found[2]), text).encode("latin-1")


def dial(port, patience=PATIENCE):
    return socket.create_connection(("egress", port), patience)


def read(sock, begun, quiet=QUIET):
    """What comes until the other side closes, or falls silent after an answer has `begun`; and which of both it was."""
    data = b""
    sock.settimeout(PATIENCE)
    try:
        while piece := sock.recv(65536):
            data += piece
            sock.settimeout(quiet if begun(data) else PATIENCE)
    except (TimeoutError, ssl.SSLWantReadError):
        return data, "silence"
    except OSError:
        return data, "closed"
    return data, "closed"


def h2_begun(data):
    return any(kind in (1, 3, 7) for kind, _, _ in frames(data))


def answered(data, ends):
    return " ".join(code.decode() for code in STATUS.findall(data)) or ends


@functools.cache
def context_of(alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context


def opened(sni, target="", door="proxy", alpn="http/1.1"):
    """A TLS connection through one of the doors, or the word for what was said instead."""
    sock = dial(PROXY if door == "proxy" else 443)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if door == "proxy":
        target = target or f"{sni}:443"
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("latin-1"))
        head = b""
        while not head.endswith(b"\r\n\r\n") and (byte := sock.recv(1)):
            head += byte
        if not head.startswith(b"HTTP/1.1 200"):
            sock.close()
            return None, f"tunnel {answered(head, 'closed')}"
    try:
        return context_of(alpn).wrap_socket(sock, server_hostname=sni or None), ""
    except OSError:
        sock.close()
        return None, "no handshake"


def do_tls(mark, sni, send, body="", target="", door="proxy", quiet=QUIET):
    """Raw bytes in a tunnel."""
    tls, refused = opened(sni, target, door)
    if tls is None:
        return {"answer": refused}
    with tls:
        rest = written(body, mark)
        tls.sendall(written(send, mark, rest) + rest)
        data, ends = read(tls, STATUS.search, quiet)
    return {"answer": answered(data, ends), "said": data.decode("latin-1")[:SAID]}


def do_raw(mark, send, port=PROXY):
    """Raw bytes at a door."""
    with dial(port) as sock:
        sock.sendall(written(send, mark))
        data, ends = read(sock, STATUS.search)
    return {"answer": answered(data, ends), "said": data.decode("latin-1")[:SAID]}


def do_connect(mark, target):
    """A tunnel, and nothing in it; through when it is made."""
    made = do_raw(mark, [f"CONNECT {target} HTTP/1.1", "Host: open.test:443"])
    return made | {"through": made["answer"].startswith("200")}


def frame(kind, flags, stream, payload):
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def packed(headers, mark):
    """Literal fields that nothing is indexed of (RFC 7541 6.2.2), so that any bytes can stand in them."""
    block = b""
    for pair in headers:
        for text in pair:
            data = written(text, mark)
            length = bytes((len(data),)) if len(data) < 127 else b"\x7f" + integer(len(data) - 127)
            block += (b"\x00" if text is pair[0] else b"") + length + data
    return block


def integer(value):
    out = b""
    while value >= 128:
        out += bytes((value % 128 + 128,))
        value //= 128
    return out + bytes((value,))


def status(block):
    while block and block[0] & 0xE0 == 0x20:  # a change of the table's size
        block = block[1:]
    if block[0] in INDEXED:
        return INDEXED[block[0]]
    length = block[1] & 0x7F
    value = block[2 : 2 + length]
    if not block[1] & 0x80:
        return value.decode("latin-1")
    bits, found, code = "".join(format(byte, "08b") for byte in value), "", ""
    for bit in bits:
        code += bit
        if code in DIGITS:
            found, code = found + DIGITS[code], ""
    return found


def frames(data):
    while len(data) >= 9:
        length = int.from_bytes(data[:3], "big")
        yield data[3], data[4], data[9 : 9 + length]
        data = data[9 + length :]


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")


def h2_words(data, ends):
    words, said = [], b""
    for kind, _, payload in frames(data):
        if kind == 1:
            words.append(status(payload))
        elif kind in (3, 7):
            words.append("reset" if kind == 3 else "goaway")
        elif kind == 0:
            said += payload
    return {"answer": " ".join(dict.fromkeys(words)) or ends, "said": said.decode("latin-1")[:SAID]}


def do_h2(mark, sni, headers, body=""):
    """One request over HTTP/2, whatever stands in its fields."""
    tls, refused = opened(sni, alpn="h2")
    if tls is None:
        return {"answer": refused}
    data = written(body, mark)
    fields = [*headers, ["x-attempt", mark]]
    with tls:
        tls.sendall(PREFACE + frame(1, 0x4 if data else 0x5, 1, packed(fields, mark)))
        if data:
            with contextlib.suppress(OSError):
                tls.sendall(frame(0, 1, 1, data))
        return h2_words(*read(tls, h2_begun))


def do_h2_flood(mark, sni, kind, count):
    """Frames that cost the other side more than this one; through while it takes them all."""
    tls, refused = opened(sni, alpn="h2")
    if tls is None:
        return {"answer": refused}
    plain = [[":method", "GET"], [":scheme", "https"], [":authority", sni], [":path", f"/{mark}"]]
    sent = 0
    with tls:
        tls.settimeout(PATIENCE)
        try:
            tls.sendall(PREFACE)
            if kind == "continuation":
                tls.sendall(frame(1, 0, 1, packed(plain, mark)))
            for number in range(count):
                stream = 2 * number + 1
                if kind == "reset":
                    tls.sendall(frame(1, 5, stream, packed(plain, mark)) + frame(3, 0, stream, struct.pack("!I", 8)))
                elif kind == "continuation":
                    tls.sendall(frame(9, 0, 1, packed([["x-fill", "x" * 16000]], mark)))
                sent += 1
            words = h2_words(*read(tls, lambda data: False))
            return words | {"through": words["answer"] == "silence"}
        except OSError:
            return {"answer": "closed", "said": f"after {sent}", "through": False}


def do_drip(mark, count, seconds, first="", sni="", port=PROXY, more=""):
    """Connections that never finish what they began; through when one is still open after so many seconds."""
    opener = (lambda: opened(sni)[0]) if sni else (lambda: dial(port))
    held = [sock for sock in (opener() for _ in range(count)) if sock]
    for sock in held:
        sock.sendall(written(first, mark))
    end = time.monotonic() + seconds
    while held and time.monotonic() < end:
        time.sleep(0.5)
        held = [sock for sock in held if still_open(sock, written(more, mark))]
    for sock in held:
        sock.close()
    return {"answer": "open" if held else "closed", "through": bool(held)}


def still_open(sock, more):
    try:
        sock.settimeout(0.01)
        if more:
            sock.sendall(more)
        return sock.recv(65536) != b"" and still_open(sock, b"")
    except (TimeoutError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def do_crowd(mark, count, most):
    """Tunnels, as many as are given; through when that is more than `most`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    try:
        for _ in range(count):
            sock = dial(PROXY, 1)
            held.append(sock)
            sock.sendall(b"CONNECT open.test:443 HTTP/1.1\r\nHost: open.test:443\r\n\r\n")
            if not sock.recv(64).startswith(b"HTTP/1.1 200"):
                break
    except OSError:
        pass
    made = sum(silent(sock) for sock in held)  # at once: who opens them slowly has lost the first
    for sock in held:
        sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return {"said": f"{made} of {count}", "through": made > most}


def silent(sock):
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def do_shell(mark, run):
    """A command; through when it succeeds."""
    return ended(["sh", "-c", run.replace("{mark}", mark)], 20)


def do_python(mark, run):
    """A program, by its own Python; through when it succeeds."""
    return ended(["python3", "-c", run.replace("{mark}", mark)], 20)


def do_fetch(mark, url):
    """A client that follows where it is led."""
    return ended(["curl", "-sSL", "--max-time", "8", url.replace("{mark}", mark)], 20)


def ended(argv, seconds):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"answer": "no end", "through": False}
    return {"said": (done.stdout + done.stderr)[:SAID], "through": done.returncode == 0}


def do_twice(mark, first, then, pause=0):
    """One step, a while, and the same or another: what only time changes."""
    globals()[f"do_{first['does']}"](mark, **first["with"])
    time.sleep(pause)
    return globals()[f"do_{then['does']}"](mark, **then["with"])


def attempt(order):
    try:
        return order["name"], globals()["do_" + order["does"].replace("-", "_")](order["mark"], **order["with"])
    except OSError as e:
        return order["name"], {"answer": "closed", "said": f"{type(e).__name__}: {e}"}


def main():
    told = json.loads(sys.stdin.read())
    with ThreadPoolExecutor(max_workers=told["at_once"]) as pool:
        outcomes = dict(pool.map(attempt, told["together"]))
    for order in told["alone"]:
        outcomes.update([attempt(order)])
    print(json.dumps(outcomes))
    sys.stdout.flush()
    os._exit(0)  # what an attempt left waiting ends here


main()
