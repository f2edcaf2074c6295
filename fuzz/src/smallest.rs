//! From an input that fails to a small one.

/// Attempts, at most: what is left then is small enough to look at.
const ATTEMPTS: usize = 3000;

/// An input that fails as this one does and from which nothing can be left out, as far as that is found in time.
pub(crate) fn smallest(input: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut smallest = input.to_vec();
    let mut attempts = 0;
    let mut part = smallest.len().div_ceil(2).max(1);
    while attempts < ATTEMPTS {
        let before = smallest.len();
        let mut at = 0;
        while at < smallest.len() && attempts < ATTEMPTS {
            let mut shorter = smallest.clone();
            shorter.drain(at..(at + part).min(smallest.len()));
            attempts += 1;
            match fails(&shorter) {
                true => smallest = shorter,
                false => at += part,
            }
        }
        if part == 1 && smallest.len() == before {
            break;
        }
        part = (part / 2).max(1);
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let fails = |input: &[u8]| input.contains(&b'[') && input.ends_with(b"]]");
        assert_eq!(smallest(b"SELECT a, b[1], c[[2]] FROM t WHERE x[[7]]", fails), b"[]]");
        assert_eq!(smallest(b"", |_| true), b"");
    }
}
