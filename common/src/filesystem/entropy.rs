//! `s3.entropy.key`: a marker in a path that random characters stand for, so that keys spread over a service's partitions.
use object_store::path::{Path as ObjectPath, PathPart};

use super::{Location, Place, Result, object_uri};
use crate::config::Configuration;
use crate::config::options::s3;

/// The part of a path that spreads keys over the service's partitions.
#[derive(Clone, Debug)]
pub(super) struct Entropy {
    marker: String,
    length: usize,
}

impl Entropy {
    /// What the configuration says of it; none: paths have no marker.
    pub(super) fn of(config: &Configuration) -> Result<Option<Self>> {
        let Some(marker) = config.get_optional(&s3::ENTROPY_KEY)?.filter(|marker| !marker.is_empty()) else {
            return Ok(None);
        };
        let length = config.get(&s3::ENTROPY_LENGTH)?;
        if marker.contains(|c: char| "~#@*+%{}<>[]|\"\\/".contains(c)) {
            let expected = "expected characters that may stand in a path, without any of ~#@*+%{}<>[]|\"\\/";
            return Err(s3::ENTROPY_KEY.bad_value(s3::ENTROPY_KEY.key(), &marker, expected).into());
        }
        if !(1..=32).contains(&length) {
            let expected = "expected a number from 1 to 32";
            return Err(s3::ENTROPY_LENGTH.bad_value(s3::ENTROPY_LENGTH.key(), &length.to_string(), expected).into());
        }
        Ok(Some(Self { marker, length: length as usize }))
    }
}

impl Location {
    /// For a file of state: the marker `s3.entropy.key` in its path replaced by random characters.
    pub fn with_entropy(&self) -> Self {
        self.replace_marker(|length| crate::random::uuid().simple().to_string().chars().take(length).collect())
    }

    /// For metadata: the marker left out.
    pub fn without_entropy(&self) -> Self {
        self.replace_marker(|_| String::new())
    }

    /// The places that [`Location::with_entropy`] has made of this folder and in which there is something, by a listing of
    /// the folder above the marker. One that holds only an upload in parts is not seen: see
    /// [`Location::unfinished_uploads`].
    pub async fn entropy_places(&self) -> Result<Vec<Self>> {
        let Some(places) = self.random_places() else { return Ok(Vec::new()) };
        let names = places.above.children().await?.folders;
        Ok(names.iter().filter_map(|name| places.named(name)).collect())
    }

    /// Those places, before it is known which there are; none: there is no marker in the path.
    pub(super) fn random_places(&self) -> Option<RandomPlaces<'_>> {
        let Place::Object { path, entropy: Some(entropy), .. } = &self.place else { return None };
        let parts: Vec<String> = path.parts().map(|part| part.as_ref().to_owned()).collect();
        let at = parts.iter().position(|part| part.contains(&entropy.marker))?;
        let (before, after) = parts[at].split_once(&entropy.marker)?;
        let (before, after) = (before.to_owned(), after.to_owned());
        let mut above = self.clone();
        for _ in at..parts.len() {
            above = above.parent()?;
        }
        Some(RandomPlaces { folder: self, above, before, after, length: entropy.length })
    }

    fn replace_marker(&self, replacement: impl FnOnce(usize) -> String) -> Self {
        let Place::Object { store, path, entropy: Some(entropy) } = &self.place else { return self.clone() };
        if !path.as_ref().contains(&entropy.marker) {
            return self.clone();
        }
        let base = &self.uri[..self.uri.len() - path.as_ref().len()];
        let replaced = path.as_ref().replacen(&entropy.marker, &replacement(entropy.length), 1);
        let parts = replaced.split('/').filter(|part| !part.is_empty());
        // What may stand in a path stays as it is: a listing has it so, and what is encoded would be encoded once more.
        let part = |part| PathPart::parse(part).unwrap_or_else(|_| PathPart::from(part));
        let path: ObjectPath = parts.map(part).collect();
        let uri = object_uri(base.trim_end_matches('/'), &path);
        Self { place: Place::Object { store: store.clone(), path, entropy: Some(entropy.clone()) }, uri }
    }
}

/// The places that [`Location::with_entropy`] makes of a folder.
pub(super) struct RandomPlaces<'a> {
    folder: &'a Location,
    /// The folder above the part of the path with the marker.
    pub(super) above: Location,
    /// What that part has before the marker.
    before: String,
    /// What it has behind the marker.
    after: String,
    /// How many random characters stand for the marker.
    length: usize,
}

impl RandomPlaces<'_> {
    /// The place that has this part in its path; none if that part is not random.
    fn named(&self, part: &str) -> Option<Location> {
        let random = part.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let is_random = random.len() == self.length && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_random.then(|| self.folder.replace_marker(|_| random.to_owned()))
    }

    /// Whether a file of the bucket is below one of them.
    pub(super) fn contain(&self, file: &ObjectPath) -> bool {
        let Place::Object { path: above, .. } = &self.above.place else { return false };
        let Some(part) = file.prefix_match(above).and_then(|mut parts| parts.next()) else { return false };
        let Some(Place::Object { path, .. }) = self.named(part.as_ref()).map(|place| place.place) else { return false };
        file.prefix_match(&path).is_some_and(|mut below| below.next().is_some())
    }
}
