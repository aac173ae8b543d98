;; Has an output schema that is itself in a place that no keyword names, and a result that leads there.
;; group: describe
;; refused: bad_description
;; says: refers to itself
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1056) "\28\23\00\00\4a\00\00\00")
    (data (i32.const 2052) "\1c\25\00\00\03\00\00\00")
    (data (i32.const 9000) "{\22$ref\22:\22#/x/a\22,\22x\22:{\22a\22:{\22items\22:{\22$ref\22:\22#/x/b\22}},\22b\22:{\22$ref\22:\22#/x/b\22}}}")
    (data (i32.const 9500) "[1]"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
