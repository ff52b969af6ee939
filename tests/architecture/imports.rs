//! The imports of `src`, file by file.
//!
//! A file imports another if a `use` or a path in its code names something that the other defines. Re-exports are
//! followed to the definition and are no imports themselves. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path of names, such as `crate`, `domain`, `time`.
type NamePath = Vec<String>;

/// A name that a `use` declares.
struct Imported {
    path: NamePath,
    /// The name in the importing module; `*` for all names.
    name: String,
    is_public: bool,
}

/// The code of one file.
#[derive(Default)]
struct Module {
    /// The modules that it declares in files of their own.
    declared: BTreeSet<String>,
    imported: Vec<Imported>,
    /// The paths in its other code.
    paths: Vec<NamePath>,
    /// All names in its code.
    names: BTreeSet<String>,
}

/// What each file of the crate imports.
pub struct Imports {
    modules: BTreeMap<NamePath, Module>,
}

/// One import: something of the module `to` is named in the module `from`. Modules are named without `crate`, such as
/// `domain::time`.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Clone)]
pub struct Import {
    /// The module whose file has the import.
    pub from: String,
    /// The module whose file defines what is imported.
    pub to: String,
    /// The path that the import names, below the crate. It may lead to a re-export.
    pub path: String,
}

impl Imports {
    /// Reads the files of `src`, by their paths in it.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a Path, &'a str)>) -> Self {
        let mut modules = BTreeMap::new();
        for (path, text) in files {
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut module = Module::default();
            module.add(tokens);
            modules.insert(module_name(path), module);
        }
        let mut imports = Self { modules };
        imports.drop_undeclared();
        imports
    }

    /// Drops the files whose modules only tests declare.
    fn drop_undeclared(&mut self) {
        let is_declared = |name: &NamePath| match name.split_last() {
            None => true,
            Some((last, parent)) => self.modules.get(parent).is_some_and(|module| module.declared.contains(last)),
        };
        let mut undeclared: Vec<NamePath> =
            self.modules.keys().filter(|name| !is_declared(name) && *name != &["main"]).cloned().collect();
        undeclared.sort();
        self.modules.retain(|name, _| !undeclared.iter().any(|dropped| name.starts_with(dropped)));
    }

    /// Returns all imports between files.
    pub fn between_files(&self) -> BTreeSet<Import> {
        let mut found = BTreeSet::new();
        for (from, module) in &self.modules {
            let imported = module.imported.iter().filter(|imported| !imported.is_public).filter_map(|imported| {
                let mut path = absolute(&self.modules, from, &imported.path)?;
                if imported.name == "*" {
                    path.pop();
                } else if self.modules.contains_key(&path) {
                    // What counts is what the code names of it.
                    return None;
                }
                Some(path)
            });
            let named = module.paths.iter().filter_map(|path| self.in_scope(from, path));
            // A path to a module, as in `pub(in crate::http)`, names nothing in it.
            let named = named.filter(|path| !self.modules.contains_key(path));
            for path in imported.chain(named) {
                let to = self.definition(&path, 0).filter(|to| to != from);
                found.extend(to.map(|to| Import { from: from.join("::"), to: to.join("::"), path: path.join("::") }));
            }
        }
        found
    }

    /// Returns the absolute path of a path in a module's code, if it leads into this crate.
    fn in_scope(&self, module: &NamePath, path: &NamePath) -> Option<NamePath> {
        let imported = self.modules[module].imported.iter().find(|imported| imported.name == path[0]);
        if let Some(imported) = imported {
            let mut target = absolute(&self.modules, module, &imported.path)?;
            target.extend_from_slice(&path[1..]);
            return Some(target);
        }
        absolute(&self.modules, module, path)
    }

    /// Returns the module that defines what an absolute path names.
    fn definition(&self, path: &[String], depth: usize) -> Option<NamePath> {
        let longest = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(longest);
        let found = &self.modules[module];
        let Some(name) = rest.first().filter(|_| depth < 12) else { return Some(module.to_vec()) };
        let follow = |target: Option<NamePath>| {
            let mut target = target?;
            target.extend_from_slice(&rest[1..]);
            self.definition(&target, depth + 1)
        };
        let public = || found.imported.iter().filter(|imported| imported.is_public);
        if let Some(exported) = public().find(|imported| imported.name == *name) {
            return follow(absolute(&self.modules, module, &exported.path));
        }
        for exported in public().filter(|imported| imported.name == "*") {
            let mut target = absolute(&self.modules, module, &exported.path)?;
            target.pop();
            if self.modules.get(&target).is_some_and(|module| module.names.contains(name)) {
                target.push(name.clone());
                return follow(Some(target));
            }
        }
        Some(module.to_vec())
    }
}

impl Module {
    /// Adds code, without its tests.
    fn add(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = without_tests(tokens.into_iter().collect());
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(word) if word == "use" => {
                    let end =
                        tokens[at..].iter().position(|token| is_punct(token, ';')).map_or(tokens.len(), |n| at + n);
                    self.add_use(&tokens[at + 1..end], &[], is_public(&tokens[..at]));
                    at = end;
                }
                TokenTree::Ident(word)
                    if word == "mod" && tokens.get(at + 2).is_some_and(|token| is_punct(token, ';')) =>
                {
                    self.declared.insert(tokens[at + 1].to_string());
                    at += 3;
                }
                TokenTree::Ident(_) => at = self.add_path(&tokens, at),
                TokenTree::Group(group) => {
                    self.add(group.stream());
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// Adds the names of a `use` below a prefix.
    fn add_use(&mut self, tokens: &[TokenTree], prefix: &[String], is_public: bool) {
        let mut path = prefix.to_vec();
        let mut name = None;
        let mut is_renamed = false;
        for token in tokens {
            match token {
                TokenTree::Ident(word) if word == "as" => is_renamed = true,
                TokenTree::Ident(word) if is_renamed => name = Some(word.to_string()),
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".to_owned()),
                TokenTree::Group(group) => {
                    let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                    for part in inside.split(|token| is_punct(token, ',')).filter(|part| !part.is_empty()) {
                        self.add_use(part, &path, is_public);
                    }
                    return;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let name = name.or_else(|| path.last().cloned()).expect("a use names something");
        self.imported.push(Imported { path, name, is_public });
    }

    /// Adds the path that begins at a token, and returns where the code after it begins.
    fn add_path(&mut self, tokens: &[TokenTree], start: usize) -> usize {
        let mut path = vec![tokens[start].to_string()];
        let mut at = start + 1;
        while let [colon, second, TokenTree::Ident(word), ..] = &tokens[at..]
            && is_punct(colon, ':')
            && is_punct(second, ':')
        {
            path.push(word.to_string());
            at += 3;
        }
        self.names.insert(path[0].clone());
        if path.len() > 1 {
            self.paths.push(path);
        }
        at
    }
}

/// Returns the module of a file, as a path of names below the crate.
fn module_name(path: &Path) -> NamePath {
    let mut name: NamePath = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if name.last().is_some_and(|last| last == "mod") || name == ["lib"] {
        name.pop();
    }
    name
}

/// Returns a path below the crate for a path in a module's code, or `None` if it leads to another crate or to a local
/// name.
fn absolute(modules: &BTreeMap<NamePath, Module>, module: &[String], path: &[String]) -> Option<NamePath> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let child = || [module, &path[..1]].concat();
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat()),
        _ if modules.contains_key(&child()) => Some([module, path].concat()),
        _ => None,
    }
}

/// Returns the tokens without the items and statements that are marked as for tests.
fn without_tests(tokens: Vec<TokenTree>) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let marks_test = matches!(rest.peek(), Some(TokenTree::Group(group))
            if is_punct(&token, '#') && is_test_only(&group.stream().to_string()));
        if !marks_test {
            kept.push(token);
            continue;
        }
        let ends = |token: &TokenTree| {
            let is_block = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
            is_block || is_punct(token, ';') || is_punct(token, ',')
        };
        rest.find(ends);
    }
    kept
}

/// Whether an attribute compiles its item for tests alone.
fn is_test_only(attribute: &str) -> bool {
    let attribute = attribute.replace(' ', "");
    ["cfg(test", "cfg(any(test", "cfg(all(test"].iter().any(|start| attribute.starts_with(start))
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether the tokens before a `use` end in `pub` or in `pub(…)`.
fn is_public(before: &[TokenTree]) -> bool {
    let last = match before {
        [.., word, TokenTree::Group(group)] if group.delimiter() == Delimiter::Parenthesis => Some(word),
        [.., word] => Some(word),
        [] => None,
    };
    matches!(last, Some(TokenTree::Ident(word)) if word == "pub")
}

/// Returns a circle of files that import each other, as its imports in order, or `None` if there is none.
pub fn cycle(imports: &BTreeSet<Import>) -> Option<Vec<Import>> {
    let mut left = imports.clone();
    loop {
        let importing: BTreeSet<String> = left.iter().map(|import| import.from.clone()).collect();
        let before = left.len();
        left.retain(|import| importing.contains(&import.to));
        if left.len() == before {
            break;
        }
    }
    // Every file that is left imports another one that is left, so that following the imports leads into a circle.
    let mut trail = vec![left.first()?.clone()];
    loop {
        let last = trail.last()?;
        let next = left.iter().find(|import| import.from == last.to)?.clone();
        if let Some(start) = trail.iter().position(|import| import.from == next.from) {
            return Some(trail.split_off(start));
        }
        trail.push(next);
    }
}
