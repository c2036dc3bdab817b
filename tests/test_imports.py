"""No module imports itself in a roundabout way, imports inside functions included."""

import grimp


def test_modules__import_each_other_without_a_cycle() -> None:
    graph = grimp.build_graph("envs", "marl")
    left = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    # Whoever imports nothing that is left cannot be in a cycle.
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}
    assert not left, f"in a cycle, or importing one: {sorted(left)}"
