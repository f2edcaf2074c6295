use super::*;

#[test]
fn the_prefix_tells_only_what_matters() {
    assert_eq!(prefix("", 0, 1), "");
    assert_eq!(prefix("", 1, 2), "2> ");
    assert_eq!(prefix("ID", 0, 1), "ID> ");
    assert_eq!(prefix("ID", 0, 2), "ID:1> ");
}
