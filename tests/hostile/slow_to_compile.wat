;; Has a function that takes the compiler longer than it is given.
;; group: load
;; refused: does_not_load
;; says: limits.compile_seconds
(component
  (;memory;)
  (core module $m
    (memory 1)
    (func (param i64 i64 i64 i64) (result i64) (local i64 i64 i64 i64)
      (;times 120000;)(local.set 4 (i64.xor (local.get 0) (i64.mul (local.get 5) (i64.load (i32.wrap_i64 (local.get 1))))))
      (if (i64.eqz (local.get 4)) (then (local.set 0 (i64.add (local.get 4) (local.get 2)))))
      (local.set 5 (i64.rotl (local.get 4) (local.get 3)))
      (;end;)
      (local.get 5)))
  (core instance $i (instantiate $m))
  (;skill;))
