// `sanitizer_canary FAULT`: 0 when nobody found the fault that it has committed.
#include "tests/canary/faults.hpp"

int main(int argc, char** argv) { return argc == 2 && wgring::test::commit_fault(argv[1]) ? 0 : 2; }
