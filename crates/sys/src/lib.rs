//! The hands: small safe functions over system calls. They decide nothing.
