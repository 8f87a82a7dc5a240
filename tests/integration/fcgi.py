"""A raw FastCGI client: whole requests for those who want an answer, single records for those who want trouble.

Every wait is bounded by the connection's time-out. It does not imitate any web server in particular.
"""

import dataclasses
import socket
import struct
import typing

from http_client import parse_headers

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6, 7
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER = 1
KEEP_CONN = 1
MAX_CONTENT = 65535


class Record(typing.NamedTuple):
    type: int
    id: int
    content: bytes


def record(record_type, request_id, content=b"", padding=0):
    return struct.pack("!BBHHBB", 1, record_type, request_id, len(content), padding, 0) + content + bytes(padding)


def stream(record_type, request_id, content, step=MAX_CONTENT):
    """A stream's records, without the empty one that ends it."""
    return b"".join(record(record_type, request_id, content[start:start + step])
                    for start in range(0, len(content), step))


def length(number):
    return bytes([number]) if number < 128 else struct.pack("!I", number | 0x80000000)


def pair(name, value):
    name, value = (text.encode("latin-1") if isinstance(text, str) else text for text in (name, value))
    return length(len(name)) + length(len(value)) + name + value


def begin(request_id=1, keep=False, role=RESPONDER):
    return record(BEGIN_REQUEST, request_id, struct.pack("!HB5x", role, KEEP_CONN if keep else 0))


def request(parameters, body=b"", request_id=1, keep=False):
    """A whole request. `parameters` is a dict, or the bytes of the PARAMS stream."""
    if not isinstance(parameters, bytes):
        parameters = b"".join(pair(name, value) for name, value in parameters.items())
    return (begin(request_id, keep) + stream(PARAMS, request_id, parameters) + record(PARAMS, request_id)
            + stream(STDIN, request_id, body) + record(STDIN, request_id))


def variables(document_root, method, target, content_length=None, **more):
    """The parameters that a web server would send for `method` and `target`, path info split at .ashx."""
    path, _, query = target.partition("?")
    script, extension, tail = path.partition(".ashx")
    result = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "weft-tests",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_ADDR": "127.0.0.1",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "4711",
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "QUERY_STRING": query,
        "DOCUMENT_ROOT": str(document_root),
        "SCRIPT_NAME": script + extension,
        "SCRIPT_FILENAME": str(document_root) + script + extension,
        "PATH_INFO": tail,
        "HTTP_HOST": "localhost",
    }
    if content_length is not None:
        result["CONTENT_LENGTH"] = str(content_length)
    result.update(more)
    return result


@dataclasses.dataclass
class Response:
    status: int
    headers: list
    body: bytes
    stderr: bytes
    protocol_status: int

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def parse_cgi(output):
    """Status, headers and body of a CGI response."""
    for end in (b"\r\n\r\n", b"\n\n"):
        head, separator, body = output.partition(end)
        if separator:
            break
    assert separator, f"no header block in {output[:200]!r}"
    _, headers = parse_headers(b"\n" + head)
    status = next((int(value.split()[0]) for name, value in headers if name.lower() == "status"), 200)
    return status, headers, body


def connect(address, timeout=10.0):
    """A connected socket; `address` as `weft serve --listen` takes it."""
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        # Not settimeout() yet: with it, connect() would fail at once, and not wait, while the backlog is full.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout) + 1, 0))
        connection.connect(address.removeprefix("unix:"))
        connection.settimeout(timeout)
        return connection
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def accepts(address):
    """Whether somebody listens there: a socket's file comes a little before."""
    try:
        connect(address).close()
    except OSError:
        return False
    return True


class Connection:
    def __init__(self, address, timeout=10.0):
        self.socket = connect(address, timeout)
        self._buffer = b""
        self._unfinished = {}  # request id: [STDOUT so far, STDERR so far]

    def send(self, data):
        self.socket.sendall(data)

    def _read(self, count):
        while len(self._buffer) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def read_record(self):
        """The next record; None when the host has closed the connection."""
        header = self._read(8)
        if header is None:
            return None
        version, record_type, request_id, size, padding, _ = struct.unpack("!BBHHBB", header)
        assert version == 1, f"a record of version {version}"
        content = self._read(size + padding)
        assert content is not None, "the connection ended within a record"
        return Record(record_type, request_id, content[:size])

    def read_response(self):
        """The next request that ends: its id and its response. Fails when the connection ends before."""
        while True:
            received = self.read_record()
            assert received is not None, "the host closed the connection before END_REQUEST"
            output = self._unfinished.setdefault(received.id, [b"", b""])
            if received.type == STDOUT:
                output[0] += received.content
            elif received.type == STDERR:
                output[1] += received.content
            elif received.type == END_REQUEST:
                del self._unfinished[received.id]
                status, headers, body = parse_cgi(output[0]) if output[0] else (0, [], b"")
                return received.id, Response(status, headers, body, output[1], received.content[4])
            else:
                raise AssertionError(f"an unexpected record: {received}")

    def is_closed_by_host(self):
        """Waits, no longer than the time-out, for the host to close; whatever comes before is dropped."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def exchange(address, parameters, body=b"", timeout=10.0):
    """One request on a connection of its own."""
    with Connection(address, timeout) as connection:
        try:
            connection.send(request(parameters, body))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the host may answer, and close, before it has read all of what it refuses
        return connection.read_response()[1]
