;; Imports what this host does not have: `wasi:config/store@0.2.0`.
;; group: load
;; refused: does_not_load
;; says: wasi:config/store@0.2.0
(component
  (import "wasi:config/store@0.2.0" (instance (export "get" (func))))
  (;memory;)
  (;skill;))
