"""A small HTTP/1.1 client that shows what really came: no retries, no redirects, bytes as they are."""

import dataclasses
import socket
import struct
import subprocess


@dataclasses.dataclass
class Response:
    status: int
    headers: list  # of (name, value), in the order in which they came
    body: bytes

    def header(self, name):
        """The value of a header that must be there once at most; None when it is not."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


def parse_headers(block):
    lines = block.decode("latin-1").replace("\r\n", "\n").split("\n")
    return lines[0], [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]


def curl(site, target, *options, timeout=60):
    """Status, header fields by their names in small letters, and content of an answer to curl. Apache passes no Content-Length
    on, unless it is told to."""
    result = subprocess.run(["curl", "-sS", "-i", *map(str, options), f"http://127.0.0.1:{site.port}{target}"],
                            capture_output=True, timeout=timeout)
    assert result.returncode == 0, result.stderr
    head, _, body = result.stdout.partition(b"\r\n\r\n")
    while b" 100 " in head.splitlines()[0]:
        head, _, body = body.partition(b"\r\n\r\n")
    status_line, headers = parse_headers(head)
    return int(status_line.split()[1]), {name.lower(): value for name, value in headers}, body


class Exchange:
    """One request on a connection of its own, and its response as far as it has come."""

    def __init__(self, port, method, target, headers=(), body=None, chunked=False, timeout=30.0, host="localhost",
                 source="", tls=None):
        """`source`: the address that it comes from; `tls`: an ssl.SSLContext for https."""
        self._method = method
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif body is not None:
            lines.append(f"Content-Length: {len(body)}")
        message = ["\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"]
        if chunked:
            # Of a size that agrees with no buffer's, so that borders fall everywhere.
            step = 7919
            for start in range(0, len(body), step):
                piece = body[start:start + step]
                message.append(b"%x\r\n%s\r\n" % (len(piece), piece))
            message.append(b"0\r\n\r\n")
        elif body is not None:
            message.append(body)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname=host.partition(":")[0])
        self._input = self._socket.makefile("rb")
        try:
            self._socket.sendall(b"".join(message))
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server may answer, and close, before it has read a body that it does not want

    def send_all(self):
        """Nothing: it was sent when this was made."""

    def reset(self):
        """Has close() end the connection at once, whatever is on its way."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def read_head(self):
        """Reads up to the end of the headers; returns status and headers."""
        block = b""
        while not block.endswith((b"\r\n\r\n", b"\n\n")):
            line = self._input.readline()
            assert line, f"the connection ended within the headers: {block!r}"
            block += line
        status_line, headers = parse_headers(block.rstrip(b"\r\n"))
        status = int(status_line.split(" ", 2)[1])
        if status == 100:
            return self.read_head()
        self._chunked = any(name.lower() == "transfer-encoding" and value.lower() == "chunked"
                            for name, value in headers)
        self._length = next((int(value) for name, value in headers if name.lower() == "content-length"), None)
        return status, headers

    def read_piece(self):
        """The next bytes of the body, as soon as there are any; b"" at its end."""
        if not self._chunked:
            return self._input.read1(65536)
        size_line = self._input.readline()
        assert size_line.endswith(b"\n"), "the connection ended within a chunked body"
        size = int(size_line.split(b";")[0], 16)
        piece = self._input.read(size)
        assert len(piece) == size, "the connection ended within a chunk"
        self._input.readline()
        return piece

    def response(self):
        """The whole response; its body must be as long as its headers say."""
        status, headers = self.read_head()
        if self._method == "HEAD":
            return Response(status, headers, self._input.read())
        body = b"".join(iter(self.read_piece, b""))
        if self._length is not None and not self._chunked:
            assert len(body) == self._length, f"Content-Length is {self._length}, {len(body)} bytes came"
        return Response(status, headers, body)

    def close(self):
        """Leaves, whether the response is complete or not."""
        self._input.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
