"""Bytes that attack whoever shows a recording: over 200 sequences, by what they try.

Sources: XTerm Control Sequences; the terminal security posts of H. D. Moore (2003) and D. Leadbeater
(2023); the escape injection advisories of iTerm2, kitty, rxvt, mintty and Windows Terminal.
"""

ST = (b"\x1b\\", b"\x07", b"\xc2\x9c")
OSC = (b"\x1b]", b"\xc2\x9d")
CSI = (b"\x1b[", b"\xc2\x9b")
DCS = (b"\x1bP", b"\xc2\x90")

_OSC_BODIES = (
    b"0;title",
    b"1;icon",
    b"2;window title; rm -rf /",
    b"l title",
    b"4;1;?",
    b"4;1;rgb:ff/00/00",
    b"7;file://host/etc",
    b"8;;http://evil.example/\x1b\\click\x1b]8;;",
    b"9;notify",
    b"9;4;1;50",
    b"10;?",
    b"11;?",
    b"12;#ff0000",
    b"50;?",
    b"50;xft:evil",
    b"52;c;cm0gLXJmIC8K",
    b"52;c;?",
    b"52;p;!",
    b"99;i=1;kitty",
    b"104",
    b"133;A",
    b"133;C;cmdline=rm",
    b"633;E;rm -rf /",
    b"697;x",
    b"777;notify;a;b",
    b"1337;File=name=eA==;inline=1:AAAA",
    b"1337;ReportCellSize",
    b"1337;RequestUpload=format=tgz",
    b"5113;ac=send",
    b"30001",
    b"666;touch /tmp/pwned",
)
_CSI_QUERIES = (
    b"c", b"0c", b">c", b">0c", b"=c", b"5n", b"6n", b"?6n", b"?15n", b"?25n", b"?26n", b"?996n",
    b"11t", b"13t", b"14t", b"14;2t", b"15t", b"16t", b"18t", b"19t", b"20t", b"21t", b"22;0t", b"23;0t",
    b"8;50;1000t", b"3;0;0t", b"4;9;9t", b"2t", b"1t", b"9;1t", b"x", b"1x", b"?1$p", b"4$p", b"?2026$p",
    b"1$r", b"2$w", b"1*y", b"1;1;1;10;10*y", b">q", b"0#p", b"#q", b"?1S", b"?2;1;0S", b"1;2;3;4;5T", b">T",
    b"&u", b"?u", b">1u", b"<u", b"=1;1u", b"i", b"5i", b"4i", b"?5i", b"?1i", b"0;1|", b"1'z", b"'|", b"1'{", b"1\"q",
    b"!p", b"62;1\"p", b"6#y",
)  # fmt: skip
_CSI_MODES = (
    b"?1h", b"?3h", b"?5h", b"?6h", b"?9h", b"?40h", b"?66h", b"?67h", b"?69h", b"?80h", b"?1000h", b"?1001h", b"?1002h",
    b"?1003h", b"?1004h", b"?1005h", b"?1006h", b"?1007h", b"?1015h", b"?1016h", b"?1034h", b"?1035h", b"?1036h", b"?1061h",
    b"?2004h", b"?2026h", b"?2027h", b"?2031h", b"?2048h", b"?7727h", b"?9001h", b"2h", b"12h", b"20h", b"?1000;1006h",
    b">4;2m", b"?4m", b">0p", b"1;2s", b"99999999999999999999b", b"2147483647b",
)  # fmt: skip
_DCS_BODIES = (
    b"$qm", b"$q\"p", b"+q544e", b"+p544e", b"1$tx", b"q#0;2;0;0;0#0~~@@", b"0;1|17/17", b"tmux;\x1b\x1b]52;c;cm0K\x07",
    b"=1s", b">|xterm(1)", b"@kitty-cmd{}", b"1000p",
)  # fmt: skip
_ESCAPES = (
    b"\x1bc", b"\x1bZ", b"\x1b=", b"\x1b>", b"\x1b#8", b"\x1b#3", b"\x1b%G", b"\x1b%@", b"\x1bn", b"\x1bo", b"\x1b|", b"\x1b}",
    b"\x1b~", b"\x1bN", b"\x1bO", b"\x1b F", b"\x1b G", b"\x1bl", b"\x1bm", b"\x1bV", b"\x1bW", b"\x1b(A", b"\x1b*0",
    b"\x05", b"\x07", b"\x0e", b"\x0f", b"\xc2\x9a", b"\xc2\x84", b"\x1bktitle\x1b\\", b"\x1bXsos\x1b\\", b"\x1b^pm\x1b\\",
    b"\x1b_Gf=24,s=1,v=1;AAAA\x1b\\", b"\xc2\x98sos\xc2\x9c", b"\xc2\x9epm\xc2\x9c", b"\xc2\x9fapc\xc2\x9c",
)  # fmt: skip
_BROKEN = (
    b"\x1b", b"\x1b[", b"\x1b]", b"\x1b]52;c;", b"\x1bP", b"\x1b\x1b]0;a\x07", b"\x1b[\x1b]0;a\x07", b"\x1b[3\x18\x1b[6n",
    b"\x1b[6\nn", b"\x1b]0;a\x1b[6n\x07", b"\x1b]0;a\x18\x1b[6n", b"\x1b[" + b"1;" * 60 + b"n", b"\x1b[\x7f6n", b"\x1b[\xc3\xa96n",
    b"\x9b6n", b"\x9d0;a\x07", b"\xff\xfe\x1b[6n", b"\xc3", b"\xe2\x82", b"\x1b[6\xc2\x9b6n", b"\x1bP\x1bP\x1b[6n",
    b"\x1b]0;\xc3\x28\x07", b"\x1b[<6n", b"\x1b[6 n", b"\x1b[::6n", b"\x1b]" + b"A" * 5000 + b"\x07",
)  # fmt: skip

SEQUENCES: tuple[bytes, ...] = (
    *(start + body + end for body in _OSC_BODIES for start in OSC for end in ST),
    *(start + body for body in _CSI_QUERIES + _CSI_MODES for start in CSI),
    *(start + body + ST[0] for body in _DCS_BODIES for start in DCS),
    *_ESCAPES,
    *_BROKEN,
)
