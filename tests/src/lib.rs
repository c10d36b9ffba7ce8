//! What the tests of the whole share: counterparts, scratch folders, free ports.
