"""Translation: bytes on a wire to events, and events back to bytes. Nothing else.

No I/O, no clock, no Trio, no log: everything here is synchronous and can be tested with
constants. Every connection machine keeps one contract, fixed in `protocol.events.Machine`:

    receive(data) -> list[Event]     what these bytes mean; b"" says the peer will send no more
    send(event)                      queue what this event looks like on the wire
    data_to_send() -> bytes          take what is queued; call it after every receive and send,
                                     because receiving may queue an answer (a pong, an ACK)

A parse error is the last event, `Failed(error)`: events before it in the same read survive, and
every byte after it is ignored. Fed byte by byte, all at once or cut anywhere, a machine yields
the same events, except that body and channel data may be cut differently (compare it joined).
Local misuse (sending what the protocol does not allow now) raises `LocalProtocolError`.

The map:

    events, errors     the one vocabulary all machines share; what can be wrong with a peer's bytes
    side               which end of a connection a machine plays
    headers            the grammar of header fields, shared by both HTTP versions
    http1              HTTP/1.1, server side; http1_client is the other (with http1_connection, _heads, _head_writing,
                       _names, _intake, _framing, _states)
    http2              HTTP/2, server side: what frames mean; http2_sending is the other half (with http2_upkeep,
                       _frames, _blocks, _hpack, _huffman, _headers, _streams, _windows, _budgets, _setup, _answers, _output)
    upgrade            the handshakes of WebSocket and SPDY, read and written
    websocket          RFC 6455, both sides (with websocket_frames, websocket_masks)
    spdy               SPDY/3.1, both sides (with spdy_frames, spdy_headers, spdy_streams)
    channels           which machine speaks a tunnel: the door to the next three
    remotecommand      exec and attach over SPDY or WebSocket, v1 to v5 (with remotecommand_messages)
    portforward        port-forward: SPDY, SPDY inside WebSocket, legacy WebSocket
    spdy_channels, websocket_channels    what those two share, by transport
    channel_runs       pieces of one channel that came in one read, joined
    apicall            method + target -> Call, exactly as kube-apiserver (with query, selectors; known_calls remembers)
    tar_stream         members of a tar archive as they pass (kubectl cp)
    status             Status bodies and Warning headers
    kinds              protobuf request bodies -> objects (with protobuf, kind_tables)
    json_values        the values of a JSON watch, cut where each ends
"""
