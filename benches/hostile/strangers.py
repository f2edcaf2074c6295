"""What a stranger can say on the ports between the processes of a cluster: greetings and calls (gRPC).

Byte by byte, because no client library lets one say what is wrong.
"""
import hmac, os, socket, struct, urllib.parse

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, ACKNOWLEDGED, END_HEADERS = 1, 1, 4
INVALID_ARGUMENT = 3
# How many bits the characters from blank to tilde have in HPACK's Huffman code (RFC 7541, appendix B). Those of one length
# follow one another, the shortest first.
BITS = [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
        6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13]


def huffman_code():
    """Characters by the bits that stand for them."""
    code, value, before = {}, 0, 0
    for bits, character in sorted((bits, chr(32 + at)) for at, bits in enumerate(BITS)):
        value <<= bits - before
        # The first of those with 13 bits is NUL, which no header has.
        if before < 13 <= bits:
            value += 1
        code[f"{value:0{bits}b}"] = character
        value, before = value + 1, bits
    return code


HUFFMAN = huffman_code()


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(headers):
    text = lambda value: bytes([len(value)]) + value
    return b"".join(b"\0" + text(name) + text(value) for name, value in headers)


class HeaderReader:
    """Reads the headers of an answer, as far as they are not in HPACK's tables: `grpc-status` and `grpc-message` never are."""

    def __init__(self, block):
        self.block, self.at = block, 0

    def number(self, bits):
        most = (1 << bits) - 1
        value = self.block[self.at] & most
        self.at += 1
        shift = 0
        while value >= most and shift < 28:
            byte = self.block[self.at]
            self.at += 1
            value += (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        return value

    def text(self):
        coded = self.block[self.at] & 128
        length = self.number(7)
        value = self.block[self.at:self.at + length]
        self.at += length
        if not coded:
            return value.decode("latin-1")
        text, bits = "", ""
        for bit in "".join(f"{byte:08b}" for byte in value):
            bits += bit
            if bits in HUFFMAN:
                text, bits = text + HUFFMAN[bits], ""
        return text

    def headers(self):
        found = {}
        while self.at < len(self.block):
            first = self.block[self.at]
            if first & 128:
                self.number(7)
            elif first & 224 == 32:
                self.number(5)
            else:
                name = self.number(6 if first & 64 else 4)
                name = self.text() if name == 0 else str(name)
                found[name] = self.text()
        return found


def read_exactly(connection, count):
    content = b""
    while len(content) < count:
        more = connection.recv(count - len(content))
        if not more:
            raise ConnectionError("the other side closed the connection")
        content += more
    return content


def code(secret, purpose, *parts):
    """Those who have the secret of a cluster show this code of it."""
    message = b"".join(struct.pack("<Q", len(part)) + part for part in [purpose, *parts])
    return hmac.new(secret, message, "sha256").digest()


# What a connection for calls begins with, and the lengths of nonces and proofs.
GREETING, NONCE = b"WIESEL\n\1", 32
JOB_MANAGER = b"JobManager"


def enter(connection, callee, secret):
    """Greets as somebody who has this secret, or none. What is said to that; nothing: calls may follow."""
    own = GREETING + (b"\1" if secret else b"\0") + os.urandom(NONCE)
    connection.sendall(own)
    head = read_exactly(connection, len(GREETING) + 1)
    if head[-1] == 0:
        theirs, _ = head + read_exactly(connection, NONCE), read_exactly(connection, NONCE)
        connection.sendall(b"\0" + code(secret or b"", b"wiesel rpc, caller", callee, own, theirs))
        if read_exactly(connection, 1) == b"\0":
            return ""
        read_exactly(connection, len(GREETING) + 1)
    return connection.makefile("r", errors="replace").readline().strip()


def call(port, callee, method, message, secret=None):
    """Makes a call: its status and what is said with it. No status: the caller is not let in."""
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", method), (b":authority", b"localhost"),
               (b"content-type", b"application/grpc"), (b"te", b"trailers")]
    answer = {}
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        if told := enter(connection, callee, secret):
            return None, told
        body = b"\0" + struct.pack(">I", len(message)) + message
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, header_block(headers))
                           + frame(DATA, END_STREAM, 1, body))
        while "grpc-status" not in answer:
            head = read_exactly(connection, 9)
            payload = read_exactly(connection, int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            if kind == HEADERS:
                answer.update(HeaderReader(payload).headers())
            elif kind == SETTINGS and not flags & ACKNOWLEDGED:
                connection.sendall(frame(SETTINGS, ACKNOWLEDGED, 0, b""))
            elif kind in (RESET, GOAWAY):
                raise ConnectionError("the other side ended the call")
    return int(answer["grpc-status"]), urllib.parse.unquote(answer.get("grpc-message", ""))


def field(number, value):
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    content = b""
    while value > 127:
        content += bytes([value & 127 | 128])
        value >>= 7
    return content + bytes([value])


def registration(resource_id, slots, release):
    """RegisterTaskManagerRequest of a TaskManager that nobody can reach."""
    return (field(1, resource_id) + field(2, b"127.0.0.1:1") + field(3, b"127.0.0.1:1") + field(4, slots)
            + field(8, b"localhost") + field(9, release))


REGISTER = b"/wiesel.ResourceManager/RegisterTaskManager"


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc32c_table()


def crc32c(content):
    value = 0xFFFFFFFF
    for byte in content:
        value = CRC32C[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


HELLO, PROOF, ROWS, FAILURE, CHALLENGE = 4, 5, 16, 18, 19


def data_header(kind, length):
    head = struct.pack("<4sBBBBIIQI", b"WSLD", 3, kind, 1, 0, 0, 0, 0, length)
    return head + struct.pack("<I", crc32c(head))


def data_frame(kind, payload):
    return data_header(kind, len(payload)) + payload + struct.pack("<I", crc32c(payload))


def read_data_frame(connection):
    head = read_exactly(connection, 32)
    length = struct.unpack_from("<I", head, 24)[0]
    return head[5], read_exactly(connection, length + 4)[:-4]


def greet(port, proof):
    """Greets the data plane as one that has the secret and proves it so. What is said to that."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data_frame(HELLO, b"\3" + bytes(NONCE)))
        kind, payload = read_data_frame(connection)
        if kind == CHALLENGE:
            connection.sendall(data_frame(PROOF, proof))
            kind, payload = read_data_frame(connection)
        return kind, payload[1:].decode("utf-8", "replace") if kind == FAILURE else ""
