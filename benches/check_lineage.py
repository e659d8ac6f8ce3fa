"""Walks the steps of benches/src/workload.rs breadth first, with nothing of pudato, and compares.

usage: check_lineage.py STEPS ANSWERS.jsonl
"""

import bisect
import collections
import json
import sys


RUNS = 5


def names(i):
    j, four = i // 5, range(4)
    if i % 5 == 0:
        chain, place = j // 50 // RUNS, j % 50
        read = [f"chain/{chain}/{place}/{k}" for k in four]
        wrote = [f"chain/{chain}/{place + 1}/{k}" for k in four]
    elif i % 5 == 1:
        fan, reader = j // 21 // RUNS, j % 21
        source = [f"fan/{fan}/source/{k}" for k in four]
        if reader == 0:
            read, wrote = [f"fan/{fan}/raw/{k}" for k in four], source
        else:
            read, wrote = source, [f"fan/{fan}/{reader}/{k}" for k in four]
    elif i % 5 == 2:
        block, corner = divmod(j, 4)
        group, level = block // 10 // RUNS, block % 10

        def of(level, corner):
            return [f"diamond/{group}/{level}/{corner}/{k}" for k in four]

        read = [of(level, 4), of(level, 0), of(level, 0), of(level, 1)[:2] + of(level, 2)[:2]][corner]
        wrote = of(level + 1, 4) if corner == 3 else of(level, corner)
    elif i % 5 == 3:
        ring, place = j // 8 // RUNS, j % 8
        read = [f"ring/{ring}/{place}/{k}" for k in four]
        wrote = [f"ring/{ring}/{(place + 1) % 8}/{k}" for k in four]
    else:
        read = [f"hub/in/{j // RUNS}/{k}" for k in four]
        if j % 2 == 0:
            read[0] = "hub/0"
        wrote = [f"hub/out/{j // RUNS}/{k}" for k in four]
    return read, wrote


# Step i begins at 2 i and ends at 2 i + 1, in half seconds; it read what was there when it began.
def begins(step):
    return 2 * step


def ends(step):
    return 2 * step + 1


class Steps:
    def __init__(self, count):
        self.readers, self.writers = collections.defaultdict(list), collections.defaultdict(list)
        for i in range(count):
            read, wrote = names(i)
            for name in read:
                self.readers[name].append(i)
            for name in wrote:
                self.writers[name].append(i)

    def last_writer(self, name, until):
        """The last step that had ended at this time."""
        writers = self.writers.get(name, [])
        n = bisect.bisect_right(writers, until, key=ends)
        return writers[n - 1] if n else None

    def readers_of(self, name, writer):
        """The steps that read what `writer` (or, without one, anybody) wrote."""
        readers = self.readers.get(name, [])
        if writer is None:
            return readers
        writers = self.writers[name]
        n = bisect.bisect_right(writers, writer)
        first = bisect.bisect_left(readers, ends(writer), key=begins)
        last = bisect.bisect_left(readers, ends(writers[n]), key=begins) if n < len(writers) else len(readers)
        return readers[first:last]

    def walk(self, root, is_upstream, depth_max):
        """All edges, as (from, to) with steps as numbers, and whether there is more below."""
        edges, more = set(), False
        seen, met = set(), set()
        level = [(root, None)]
        for depth in range(depth_max + 1):
            below = []
            for name, reach in level:
                if (name, reach) in seen:
                    continue
                seen.add((name, reach))
                if is_upstream:
                    last = self.last_writer(name, float("inf") if reach is None else begins(reach))
                    steps = [] if last is None else [last]
                else:
                    steps = self.readers_of(name, reach)
                if depth == depth_max:
                    more = more or bool(steps)
                    continue
                for step in steps:
                    read, wrote = names(step)
                    edges.add((step, name) if is_upstream else (name, step))
                    if step in met:
                        continue
                    met.add(step)
                    for other in read if is_upstream else wrote:
                        edges.add((other, step) if is_upstream else (step, other))
                        below.append((other, step))
            level = below
        return edges, more


def main(count, path):
    steps = Steps(count)
    location = lambda name: name if isinstance(name, str) else f"step-{name:012x}"
    whole = cut = hops = 0
    for line in open(path, encoding="utf-8"):
        answer = json.loads(line)
        name = answer["location"].removeprefix("s3://bench/")
        if answer["ask"] == "one_hop":
            for side, found in (("producers", steps.writers), ("consumers", steps.readers)):
                expected = [location(step) for step in reversed(found.get(name, []))][:500]
                assert answer[side] == expected, (name, side, answer[side][:5], expected[:5])
            hops += 1
            continue
        edges, more = steps.walk(name, answer["ask"] == "upstream", 10)
        rows = lambda edge: [step for step in edge if isinstance(step, int)][0] % 1000
        prefix = lambda node: f"s3://bench/{node}" if isinstance(node, str) else location(node)
        expected = {(prefix(a), prefix(b), rows((a, b))) for a, b in edges}
        found = {tuple(edge) for edge in answer["edges"]}
        if answer["truncated"] == "max_nodes":
            nodes = {node for edge in edges for node in edge}
            assert len(nodes) > answer["max_nodes"] == answer["nodes"], (name, len(nodes), answer["nodes"])
            assert found <= expected, (name, sorted(found - expected)[:3])
            cut += 1
        else:
            assert answer["truncated"] == ("depth" if more else False), (name, answer["truncated"], more)
            assert found == expected, (name, sorted(found ^ expected)[:6])
            whole += 1
    assert whole and hops
    print(f"checked with {count} steps: {hops} one hops, {whole} whole graphs, {cut} that were cut")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(int(sys.argv[1]), sys.argv[2])
