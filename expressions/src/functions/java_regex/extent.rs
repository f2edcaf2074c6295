//! How much of a text a pattern of the engine that backtracks may look at, as far as its text tells. Whatever the scan does not
//! know counts as the worst.
use crate::functions::constant_pattern::{letters, most_times};

/// The longest text in bytes.
const LONGEST_TEXT: usize = 512 << 10;
/// The same if the pattern has a repetition without end: from each place it may look at all that follows.
const LONGEST_ENDLESS: usize = 64 << 10;
/// Bytes of a text, once for each repetition without end: a search takes at most 1,000,000 steps, each of which may look at so many.
const MAX_STEP: usize = 128 << 10;
/// Bytes of a text times letters of the pattern.
const MAX_LETTERS: usize = 1 << 33;
/// What all matches may take that have to be found in one call, which nothing can end, in nanoseconds: about a minute.
const MAX_CALL: usize = 1 << 36;
/// The longest text in bytes where all matches have to be found in one call: the time for them is the square of it. Some times
/// as much took longer than `task.cancellation.timeout` on a busy machine.
const LONGEST_FOR_ALL: usize = 64 << 10;
/// What a step of backtracking takes, in nanoseconds.
const STEP: usize = 10;
/// The steps that a search may take.
const MAX_STEPS: usize = 1_000_000;
/// A match that looks further ahead is searched in the whole text.
const MAX_REACH: usize = 8 << 10;

/// What a pattern looks at.
#[derive(Debug)]
pub(super) struct Extent {
    /// At the text before the place where a search begins.
    behind: bool,
    /// At the end of a line, which is no end between `\r` and `\n`.
    line_ends: bool,
    /// So many bytes at most, from where a match begins; none if there is no bound.
    pub reach: Option<usize>,
    /// The longest text for one match.
    pub longest: usize,
    /// The longest text for all matches in one call.
    pub longest_for_all: usize,
}

impl Extent {
    pub fn of(source: &str) -> Self {
        let mut scan = Scan { rest: source, ..Scan::default() };
        scan.run();
        let scanned = scan.close();
        let letters = letters(source);
        let reach = letters.saturating_add(2).saturating_mul(4);
        let cost = Cost { letters, ..scanned };
        Self {
            behind: scan.behind || source.contains("(?<=") || source.contains("(?<!"),
            line_ends: scan.line_ends,
            reach: (!scan.unbounded && reach <= MAX_REACH).then_some(reach),
            longest: longest(|bytes| cost.fits(bytes)),
            longest_for_all: longest(|bytes| cost.fits(bytes) && cost.fits_for_all(bytes)),
        }
    }

    /// Whether a search from a place on finds the same without the text before that place.
    pub fn is_forward(&self, text: &str) -> bool {
        !(self.behind || self.line_ends && text.contains("\r\n"))
    }
}

/// What a search may take.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    letters: usize,
    /// Repetitions without end and references to groups, each as often as counts repeat it.
    endless: usize,
    /// Repetitions without end that stand beside each other.
    beside: u32,
    /// In how many ways the alternatives and counts can be taken.
    ways: usize,
    /// Choices are repeated.
    nested: bool,
}

impl Cost {
    fn fits(&self, bytes: usize) -> bool {
        let repeated = bytes.saturating_mul(self.endless);
        (self.endless == 0 || bytes <= LONGEST_ENDLESS && repeated <= MAX_STEP)
            && bytes.saturating_mul(self.letters.min(LONGEST_ENDLESS)) <= MAX_LETTERS
    }

    fn fits_for_all(&self, bytes: usize) -> bool {
        let steps = match self.nested {
            true => MAX_STEPS,
            false => self.ways.saturating_mul(bytes.saturating_pow(self.beside)).min(MAX_STEPS),
        };
        bytes <= LONGEST_FOR_ALL && bytes.saturating_mul(bytes.saturating_add(STEP * steps)) <= MAX_CALL
    }
}

fn longest(fits: impl Fn(usize) -> bool) -> usize {
    let mut bytes = LONGEST_TEXT;
    while bytes > 1 && !fits(bytes) {
        bytes -= bytes.div_ceil(16);
    }
    bytes
}

/// A group, or the whole pattern.
#[derive(Clone, Copy, Default)]
struct Group {
    alternatives: usize,
    /// Something in it can be taken in more ways than one.
    chooses: bool,
    endless: usize,
    looks_behind: bool,
}

#[derive(Default)]
struct Scan<'a> {
    rest: &'a str,
    behind: bool,
    line_ends: bool,
    unbounded: bool,
    cost: Cost,
    around: Vec<Group>,
    group: Group,
    /// The group that ended right before this place.
    ended: Option<Group>,
    in_class: bool,
    /// Classes and groups may be others than it seems.
    unknown: bool,
}

impl Scan<'_> {
    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn run(&mut self) {
        self.cost.ways = 1;
        while let Some(c) = self.take() {
            let ended = self.ended.take();
            match c {
                '\\' => self.escape(),
                '^' => self.behind = true,
                '$' => {
                    self.line_ends = true;
                    self.unbounded = true;
                }
                '[' => self.class(),
                ']' => self.in_class = false,
                _ if self.in_class => {}
                '(' => self.open(),
                ')' => self.end_group(),
                '|' => {
                    self.group.alternatives += 1;
                    self.group.chooses = true;
                }
                '*' | '+' | '?' | '{' => self.repetition(c, ended),
                _ => {}
            }
        }
    }

    fn escape(&mut self) {
        match self.take() {
            Some('A' | 'G' | 'b' | 'B') => {
                self.behind = true;
                self.unbounded = true;
            }
            Some('Z') => {
                self.line_ends = true;
                self.unbounded = true;
            }
            Some('z') => self.unbounded = true,
            Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'h' | 'H' | 'v' | 'V' | 't' | 'n' | 'r' | 'f') => {}
            Some('p' | 'P') => self.braces(),
            Some('x') => {
                self.unbounded = true;
                self.braces();
            }
            Some('1'..='9' | 'k') => {
                self.unbounded = true;
                self.group.endless = self.group.endless.saturating_add(1);
            }
            // A quotation, which `letters` counts as if it were a pattern.
            Some('Q') => {
                self.unbounded = true;
                self.rest = self.rest.split_once(r"\E").map_or("", |(_, behind)| behind);
            }
            Some(c) if !(c.is_alphanumeric() || self.in_class && c == ']') => {}
            _ => self.unbounded = true,
        }
    }

    /// The name of a property, the code of a character.
    fn braces(&mut self) {
        if let Some((_, behind)) = self.rest.strip_prefix('{').and_then(|name| name.split_once('}')) {
            self.rest = behind;
        }
    }

    /// What follows may be read wrongly: there may be comments, and brackets in them.
    fn give_up(&mut self) {
        self.unknown = true;
        self.unbounded = true;
        self.cost.nested = true;
    }

    fn class(&mut self) {
        self.unbounded |= self.in_class;
        self.in_class = !self.unknown;
        self.eat('^');
        // To `letters` the class ends there; to Java it goes on.
        self.unbounded |= self.rest.starts_with(']');
    }

    fn open(&mut self) {
        let mut looks_behind = self.group.looks_behind;
        if self.eat('?') {
            let kind = self.rest;
            looks_behind |= kind.starts_with("<=") || kind.starts_with("<!");
            if !kind.starts_with(['=', '!', ':', '>', '<']) {
                let flags = kind.find(|c: char| !matches!(c, 'i' | 's' | '-')).unwrap_or(kind.len());
                if !kind[flags..].starts_with([')', ':']) {
                    self.give_up();
                }
            }
        }
        self.around.push(std::mem::replace(&mut self.group, Group { looks_behind, ..Group::default() }));
    }

    fn end_group(&mut self) {
        let Some(outer) = self.around.pop() else { return };
        let ended = std::mem::replace(&mut self.group, outer);
        self.count(ended);
        self.ended = Some(ended);
    }

    /// What a group that ended has belongs to the one around it.
    fn count(&mut self, ended: Group) {
        self.cost.ways = self.cost.ways.saturating_mul(ended.alternatives + 1);
        self.group.chooses |= ended.chooses;
        self.group.endless = self.group.endless.saturating_add(ended.endless);
    }

    fn repetition(&mut self, c: char, of: Option<Group>) {
        let (mut ways, mut times) = (Some(2), 1);
        match c {
            '?' => {}
            '{' => {
                match self.rest.split_once('}').and_then(|(counts, behind)| Some((counts, most_times(counts)?, behind)))
                {
                    Some((counts, most, behind)) => {
                        self.rest = behind;
                        let least = counts.split(',').next().and_then(|least| least.parse().ok()).unwrap_or(0);
                        ways = (!counts.ends_with(',')).then(|| most.saturating_sub(least).saturating_add(1));
                        times = most;
                    }
                    None => self.give_up(),
                }
            }
            _ => ways = None,
        }
        // A lazy or a possessive one.
        if self.rest.starts_with(['?', '+']) {
            self.take();
        }
        if let Some(group) = of {
            self.group.endless =
                self.group.endless.saturating_add(group.endless.saturating_mul(times.saturating_sub(1)));
            self.cost.nested |= group.chooses && c != '?';
        }
        if self.unknown {
            let groups = self.around.iter_mut().chain([&mut self.group]);
            groups.for_each(|group| group.endless = group.endless.saturating_mul(times.max(1)));
        }
        self.cost.nested |= self.group.looks_behind;
        match ways {
            Some(1) => {}
            Some(ways) => {
                self.cost.ways = self.cost.ways.saturating_mul(ways);
                self.group.chooses = true;
            }
            None => {
                self.cost.beside = self.cost.beside.saturating_add(1);
                self.group.endless = self.group.endless.saturating_add(1);
                self.group.chooses = true;
                self.unbounded = true;
            }
        }
    }

    /// The end of the pattern. Groups that are still open are such that were read wrongly.
    fn close(&mut self) -> Cost {
        while !self.around.is_empty() {
            self.end_group();
        }
        let ways = self.cost.ways.saturating_mul(self.group.alternatives + 1);
        Cost { endless: self.group.endless, ways, ..self.cost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_looks_so_far() {
        for (source, forward, bounded) in [
            ("(?=a)", true, true),
            (r"(\d)(?=\d)", true, true),
            ("a(?![^,;]x{2,3})", true, true),
            ("(?i)(?:a|b)(?=c)", true, true),
            ("a(?=b*)", true, false),
            ("a(?=b{2,})", true, false),
            (r"(a)\1", true, false),
            ("a$", true, false),
            (r"\Qa\E(?=b)", true, false),
            ("(?x)a (?=b)", true, false),
            ("[a[b]](?=c)", true, false),
            (r"\p{L}{2}(?=\p{Lu})", true, true),
            ("(?<=a)b", false, true),
            ("(?<!a)b", false, true),
            ("^a(?=b)", false, true),
            (r"\[^a(?=b)", false, true),
            (r"\Q[\E^a(?=b)", false, false),
            (r"\bfoo\b", false, false),
            (r"\Ga", false, false),
        ] {
            let extent = Extent::of(source);
            assert_eq!((extent.is_forward("a\nb"), extent.reach.is_some()), (forward, bounded), "{source}");
        }
        assert!(!Extent::of("a$").is_forward("a\r\n"));
        assert!(Extent::of("(?=ab{1,3})").reach >= Some(4 * 4));
    }

    #[test]
    fn what_takes_more_has_shorter_texts() {
        let one = |source: &str| Extent::of(source).longest;
        assert_eq!(one(r"\bfoo\b"), LONGEST_TEXT);
        assert!((60_000..=64 << 10).contains(&one("(?=a*c)a")));
        let many = one(&format!("{}b", "(?=a*)".repeat(1000)));
        assert!((100..=131).contains(&many), "{many}");
        for source in
            ["(?:(?=a*)){1000}b", r"\Q[\E(?:(?=a*)){1000}b", "(?x)#[\n(?:(?=a*)){1000}b", "(?x)(?:(?=a*)[)]){1000}b"]
        {
            assert!(one(source) <= 131, "{source}: {}", one(source));
        }
        let all = |source: &str| Extent::of(source).longest_for_all;
        assert!((60_000..=64 << 10).contains(&all(r"\bfoo\b")));
        assert!(all(r"(?<=a)\w+") > 50_000);
        for source in [r"\b\w+\s\w+\b", "(?<=a|b)(?:a|b)+", "(?<=x{1,9})a", r"\b(?:a?b?c?){20}", r"\Q[\E(?<=a)(a*)*"] {
            assert!((5_000..8_000).contains(&all(source)), "{source}: {}", all(source));
        }
    }
}
