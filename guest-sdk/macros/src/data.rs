//! `#[data]`: the derives of a type that crosses the boundary, without the author depending on the crates they come from.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Item, Result};

pub(crate) fn expand(arguments: TokenStream, definition: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[data]` takes no arguments"));
    }
    let item: Item = syn::parse2(definition)?;
    match item {
        Item::Struct(_) | Item::Enum(_) => Ok(quote! {
            #[derive(
                ::core::clone::Clone,
                ::core::fmt::Debug,
                ::skillhost_sdk::serde::Serialize,
                ::skillhost_sdk::serde::Deserialize,
                ::skillhost_sdk::schemars::JsonSchema,
            )]
            #[serde(crate = "::skillhost_sdk::serde")]
            #[schemars(crate = "::skillhost_sdk::schemars")]
            #item
        }),
        other => Err(Error::new_spanned(other, "`#[data]` stands above a struct or an enum")),
    }
}
