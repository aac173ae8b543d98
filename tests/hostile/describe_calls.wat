;; Starts a call when it is asked what it is.
;; group: describe
;; refused: bad_description
;; says: may not make calls
(component
  (;memory;)
  (;types;)
  (;clock;)
  (core module $m
    (import "calls" "sleep" (func $sleep (param i64 i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (func (export "describe") (result i32)
      (call $sleep (i64.const 1000000000)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
  (core instance $i (instantiate $m (with "calls" (instance $calls))))
  (;skill;))
