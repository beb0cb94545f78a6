//! Clean URLs: `about.html` is served as `/about`, and each page has one URL.
//!
//! A file without the suffix comes first: where `about` is a file, `about.html` keeps its name. A
//! directory comes last: `/about` is the page, and `/about/` is the directory.

use crate::files::{Dependencies, LookupError, RelativePath, Root};

const SUFFIX: &[u8] = b".html";

/// Returns the reference to the one URL of the page at `path` (RFC 3986 section 4.2), if `target`,
/// from which the path comes, is not it.
///
/// # Errors
/// [`LookupError::OtherMount`] if that depends on a mount that this lookup may not enter.
pub(super) fn redirect(
    root: &Root,
    (target, path): (&[u8], &RelativePath),
    indexes: &[String],
    dependencies: &mut Dependencies,
) -> Result<Option<String>, LookupError> {
    let Some(name) = path.names().last() else {
        return Ok(None);
    };
    if path.names_directory() {
        return from_directory(root, target, path, dependencies);
    }
    if indexes.iter().any(|index| index.as_bytes() == name) {
        return from_index(root, path, name, indexes, dependencies);
    }
    let Some(stem) = name.strip_suffix(SUFFIX).filter(|stem| !stem.is_empty()) else {
        return Ok(None);
    };
    let mut clean = path.clone();
    clean.truncate(path.as_c_str().count_bytes() - SUFFIX.len());
    let is_page = root.is_file(path, dependencies)? && !root.is_file(&clean, dependencies)?;
    Ok(is_page.then(|| RelativePath::reference(stem)))
}

/// `/about/` is `/about`, unless there is such a directory.
fn from_directory(
    root: &Root,
    target: &[u8],
    path: &RelativePath,
    dependencies: &mut Dependencies,
) -> Result<Option<String>, LookupError> {
    // In other spellings, such as `/about//`, `..` is another directory.
    let mut segments = target.rsplit(|&byte| byte == b'/');
    let (last, segment) = (segments.next(), segments.next().unwrap_or_default());
    let named = RelativePath::decode(segment).ok();
    let name = named.as_ref().and_then(|named| named.names().last());
    let Some(name) = name.filter(|name| last == Some(b"") && path.names().last() == Some(name))
    else {
        return Ok(None);
    };
    if root.is_directory(path, dependencies)? {
        return Ok(None);
    }
    let mut page = path.clone();
    if page.append(SUFFIX).is_err() || !root.is_file(&page, dependencies)? {
        return Ok(None);
    }
    Ok(Some(format!("../{}", RelativePath::reference(name))))
}

/// `/index.html` is `/`, if that shows this index and no other.
fn from_index(
    root: &Root,
    path: &RelativePath,
    name: &[u8],
    indexes: &[String],
    dependencies: &mut Dependencies,
) -> Result<Option<String>, LookupError> {
    let stem = path.as_c_str().count_bytes() - name.len();
    for index in indexes {
        let mut one = path.clone();
        one.truncate(stem);
        if one.append(index.as_bytes()).is_ok() && root.is_file(&one, dependencies)? {
            return Ok((index.as_bytes() == name).then(|| "./".to_owned()));
        }
    }
    Ok(None)
}

/// Completes the path of a page by its suffix, if there is one.
///
/// # Errors
/// [`LookupError::OtherMount`] if that depends on a mount that this lookup may not enter.
pub(super) fn complete(
    root: &Root,
    path: &mut RelativePath,
    dependencies: &mut Dependencies,
) -> Result<(), LookupError> {
    let is_root = path.names().next().is_none();
    if path.names_directory() || is_root || root.is_file(path, dependencies)? {
        return Ok(());
    }
    let Ok(before) = path.append(SUFFIX) else {
        return Ok(());
    };
    if !root.is_file(path, dependencies)? {
        path.truncate(before);
    }
    Ok(())
}
