//! The enki command line, and the library behind it.
