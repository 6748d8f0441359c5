// Runs the tests of the file that it is linked with.
#include "check.hpp"

int main(int argc, char** argv) { return hakmem::test::run_tests(argc, argv); }
