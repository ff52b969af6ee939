//! The real binary, as a person or a service manager runs it.
