"""Every line of the contract has a test that names it."""
import contract_coverage
import tree


def test_no_line_is_without_a_test():
    assert [line for line, tests in contract_coverage.coverage().items()
            if not tests] == []


def test_tests_name_lines_that_there_are():
    assert contract_coverage.unknown() == []


def test_table_has_every_line_with_tests():
    """Which tests they are may be newer: the one above asks the sources."""
    page = tree.text(contract_coverage.TABLE)
    parts = {part.split("\n")[0]: part for part in page.split("\n## ")[1:]}
    assert list(parts) == list(contract_coverage.lines())
    assert [line for line, part in parts.items()
            if "\n- tests/" not in part] == []


def test_readers_see_what_names_a_line():
    assert list(contract_coverage.in_c(
        'XT_TEST(a_case, "C6 defect-2")\nXT_TEST(other,\n "X1 C19")')) == \
        [("a_case", {"C6"}), ("other", {"X1", "C19"})]
    assert list(contract_coverage.in_python(
        'def test_B3_x():\n pass\ndef test_y():\n "Y, by B4."\n'
        'def no_test_B5():\n pass\n')) == \
        [("test_B3_x", {"B3"}), ("test_y", {"B4"})]
    assert list(contract_coverage.in_ocaml('case "B6 closed" f; "UTF8"')) == \
        [("B6 closed", {"B6"})]
    assert list(contract_coverage.in_shell(
        'check "B7 hidden" nm\ncheck "other B6 too" \\\n x\nB8\n')) == \
        [("B7 hidden", {"B7"}), ("other B6 too", {"B6"})]
