#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make protocol.h and protocol.c from protocol.txt (its head describes the language).

Arguments: protocol.txt protocol.h protocol.c
"""
import re
import sys

# name: (C type, codec kind, least bytes on the wire)
BASIC = {
    "i8": ("char", "XDR_I8", 4), "u8": ("uint8_t", "XDR_U8", 4), "u16": ("uint16_t", "XDR_U16", 4),
    "i32": ("int32_t", "XDR_I32", 4), "u32": ("uint32_t", "XDR_U32", 4),
    "i64": ("int64_t", "XDR_I64", 8), "u64": ("uint64_t", "XDR_U64", 8), "f64": ("double", "XDR_F64", 8),
    "str": ("char *", "XDR_STRING", 4), "uuid": ("uint8_t", "XDR_UUID", 16),
    "byte": ("uint8_t", "XDR_BYTE", 1), "value": ("struct xdr_value", "XDR_VALUE", 8),
}
FIELD = re.compile(r"(\w+):(\w+)(\?|\[(\w+)\]|\{(\d+)\})?$")
STREAMS = {"out": "WIRE_STREAM_OUT", "in": "WIRE_STREAM_IN", "both": "WIRE_STREAM_BOTH"}
HEAD = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n/* Made by codegen.py from protocol.txt. */\n"


class Field:
    def __init__(self, text, limits):
        m = FIELD.match(text)
        if not m:
            sys.exit(f"codegen: no field: {text}")
        self.name, self.type, suffix = m[1], m[2], m[3] or ""
        self.optional = suffix == "?"
        self.list = m[4] is not None
        self.count = int(m[5] or 0)
        self.limit = limits[m[4]] if self.list else self.count


class Struct:
    def __init__(self, program, name, fields):
        self.program, self.name, self.fields = program, f"{program}_{name}", fields

    def resolve(self, structs):
        """The struct of each field that is one; their least size gives ours."""
        self.least, self.inner = 0, {}
        for f in self.fields:
            if f.type in BASIC:
                size = BASIC[f.type][2]
            else:
                name = f.type if f.type in structs else f"{self.program}_{f.type}"
                self.inner[f.name] = name = name if name in structs else f"remote_{f.type}"
                size = structs[name].least
            self.least += 4 if f.optional or f.list else size * (f.count or 1)

    def c_type(self, f):
        return BASIC[f.type][0] if f.type in BASIC else f"struct {self.inner[f.name]}"

    def members(self):
        for f in self.fields:
            c = self.c_type(f)
            star = "" if c.endswith("*") else " "
            if f.list:
                yield f"{c}{star}*{f.name};"
                yield f"uint32_t {f.name}_count;"
            elif f.optional:
                yield f"{c}{f.name};" if f.type == "str" else f"{c} *{f.name};"
            elif f.type == "uuid":
                yield f"{c} {f.name}[16];"
            elif f.count:
                yield f"{c} {f.name}[{f.count}];"
            else:
                yield f"{c}{star}{f.name};"

    def table(self):
        rows = []
        for f in self.fields:
            kind = BASIC[f.type][1] if f.type in BASIC else "XDR_STRUCT"
            shape = "LIST" if f.list else "OPTIONAL" if f.optional else "FIXED" if f.count else "ONE"
            inner = f"&{self.inner[f.name]}_type" if f.name in self.inner else "NULL"
            at = f"offsetof(struct {self.name}, {f.name})"
            count = f"offsetof(struct {self.name}, {f.name}_count)" if f.list else "0"
            rows.append(f"\t{{ \"{f.name}\", {kind}, XDR_{shape}, {at}, {count}, {f.limit}, {inner} }},")
        n = self.name
        head = f"static const struct xdr_field {n}_fields[] = {{\n" + "\n".join(rows) + "\n};\n" if rows else ""
        fields = f"{n}_fields" if rows else "NULL"
        return (f"{head}const struct xdr_type {n}_type = {{ \"{n}\", sizeof(struct {n}), {self.least}, "
                f"{len(rows)}, {fields} }};\n")


class Protocol:
    def __init__(self, path):
        self.limits, self.programs, self.structs, self.procs = {}, {}, {}, []
        program = None
        for line in open(path):
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "limit":
                self.limits[words[1]] = int(words[2])
            elif words[0] == "program":
                program = words[1]
                self.programs[program] = words[2]
            elif words[0] == "type":
                self.add(program, words[1], words[2:])
            elif words[0] in ("call", "event"):
                self.procedure(program, words)
            else:
                sys.exit(f"codegen: {line}")

    def add(self, program, name, words):
        s = Struct(program, name, [Field(w, self.limits) for w in words])
        if s.name in self.structs:
            sys.exit(f"codegen: {s.name} twice")
        self.structs[s.name] = s
        s.resolve(self.structs)
        return s.name

    def procedure(self, program, words):
        number, name, rest = int(words[1]), words[2], words[3:]
        args = ret = None
        fast, stream = False, "WIRE_STREAM_NONE"
        if words[0] == "event":
            args = self.add(program, f"{name}_msg", rest)
        else:
            fast = rest.pop(0) == "fast"
            if rest and rest[0] in STREAMS:
                stream = STREAMS[rest.pop(0)]
            cut = rest.index("->") if "->" in rest else len(rest)
            if rest[:cut]:
                args = self.add(program, f"{name}_args", rest[:cut])
            if rest[cut + 1:]:
                ret = self.add(program, f"{name}_ret", rest[cut + 1:])
        self.procs.append((program, number, name, args, ret, fast, stream, words[0] == "event"))

    def header(self):
        out = [HEAD + "#ifndef WIRE_LIBVIRT_PROTOCOL_H\n#define WIRE_LIBVIRT_PROTOCOL_H\n",
               '#include "wire/libvirt/procedure.h"\n', "enum {"]
        out += [f"\tREMOTE_{k}_MAX = {v}," for k, v in self.limits.items()]
        out.append("};\n")
        for p, number in self.programs.items():
            out.append(f"#define {p.upper()}_PROGRAM {number}u\n")
            out.append("enum {")
            out += [f"\t{p.upper()}_PROC_{x[2].upper()} = {x[1]}," for x in self.procs if x[0] == p]
            out.append("};\n")
        for s in self.structs.values():
            out.append(f"struct {s.name} {{")
            out += [f"\t{m}" for m in s.members()]
            out.append("};")
            out.append(f"extern const struct xdr_type {s.name}_type;\n")
        for p in self.programs:
            out.append("/* by number; numbers without a name are absent */")
            out.append(f"extern const struct wire_procedure {p}_procedures[];")
            out.append(f"extern const unsigned {p}_procedure_count;\n")
        return "\n".join(out) + "\n#endif\n"

    def source(self):
        out = [HEAD, "#include <stddef.h>\n", '#include "wire/libvirt/protocol.h"\n']
        out += [s.table() for s in self.structs.values()]
        for p in self.programs:
            rows = sorted((x for x in self.procs if x[0] == p), key=lambda x: x[1])
            out.append(f"const struct wire_procedure {p}_procedures[] = {{")
            for _, number, name, args, ret, fast, stream, event in rows:
                a, r = (f"&{x}_type" if x else "NULL" for x in (args, ret))
                out.append(f"\t{{ {number}, \"{name}\", {a}, {r}, {stream}, "
                           f"{str(fast).lower()}, {str(event).lower()} }},")
            out.append(f"}};\nconst unsigned {p}_procedure_count = {len(rows)};\n")
        return "\n".join(out)


def main():
    protocol = Protocol(sys.argv[1])
    open(sys.argv[2], "w").write(protocol.header())
    open(sys.argv[3], "w").write(protocol.source())


main()
