# Made by assay. To draw it again in this folder: gnuplot run3-mmlu_pro-official.gp
# Data: index 0 all items, 1 groups; columns row, score, low, high (%).

reset
set encoding utf8
set terminal svg font 'DejaVu Sans,Arial,sans-serif,12' background rgb 'white' size 1000,622 noenhanced
set output 'run3-mmlu_pro-official.svg'
set multiplot
set xrange [0:100]
set xtics 0, 10, 100 nomirror
set ytics scale 0 nomirror
set border 3 linecolor rgb '#888888'
set grid xtics linetype 1 linecolor rgb '#E4E4E4' back
set tics textcolor rgb '#222222'
set label 'mmlu_pro:official — Gemma 4 26B-A4B it, Q4_0' at screen 0.016, 0.96785 left font ',14'
set label 'score 71.3 %, 95 % interval 68.6 to 73.8; 1170 items × 1; run 3, model 01234567, data aaaabbbb, scorer mmlu_pro 1' at screen 0.016, 0.93248 left textcolor rgb '#444444'
set lmargin at screen 0.41600
set rmargin at screen 0.81000
set tmargin at screen 0.87460
set bmargin at screen 0.81029
set arrow from first 10, graph 0 to first 10, graph 1 nohead dashtype 2 linecolor rgb '#666666' front
set label 'guessing: 10.0' at first 10, graph 1.24 left textcolor rgb '#666666' font ',9'
set yrange [0.4:1.6]
set ytics ('all items (n = 1170)' 1)
set label '71.3  [68.6, 73.8]' at graph 1.015, first 1 left
set format x ''
plot 'run3-mmlu_pro-official.dat' index 0 using ($2/2):1:(0):2:($1-0.34):($1+0.34) with boxxyerror linecolor rgb '#7A9CC6' fillstyle solid 1.0 noborder notitle, \
     'run3-mmlu_pro-official.dat' index 0 using 2:1:3:4 with xerrorbars linecolor rgb '#222222' linewidth 1.4 pointtype 7 pointsize 0.5 notitle
unset label
unset arrow
unset object
unset xlabel
set lmargin at screen 0.41600
set rmargin at screen 0.81000
set tmargin at screen 0.79100
set bmargin at screen 0.25080
set arrow from first 10, graph 0 to first 10, graph 1 nohead dashtype 2 linecolor rgb '#666666' front
set yrange [0.4:14.6]
set ytics ('psychology (n = 1)' 14, \
  'biology (n = 120)' 13, \
  'math (n = 135)' 12, \
  'economics (n = 84)' 11, \
  'computer science (n = 41)' 10, \
  '物理学 (n = 130)' 9, \
  'business (n = 80)' 8, \
  'health (n = 82)' 7, \
  'chemistry (n = 110)' 6, \
  'other (n = 92)' 5, \
  'history and_the ''law'' of `very` long subjec… (n = 38)' 4, \
  'law (n = 110)' 3, \
  'engineering (n = 97)' 2, \
  'philosophy (n = 50)' 1)
set label '100.0  [20.7, 100.0]' at graph 1.015, first 14 left
set label '90.0  [83.3, 94.2]' at graph 1.015, first 13 left
set label '88.0  [81.4, 92.5]' at graph 1.015, first 12 left
set label '82.0  [72.4, 88.8]' at graph 1.015, first 11 left
set label '80.0  [65.4, 89.4]' at graph 1.015, first 10 left
set label '77.0  [69.1, 83.4]' at graph 1.015, first 9 left
set label '76.2  [65.9, 84.2]' at graph 1.015, first 8 left
set label '75.0  [64.7, 83.1]' at graph 1.015, first 7 left
set label '71.0  [61.9, 78.7]' at graph 1.015, first 6 left
set label '70.0  [60.0, 78.4]' at graph 1.015, first 5 left
set label '60.0  [44.2, 74.0]' at graph 1.015, first 4 left
set label '52.0  [42.8, 61.1]' at graph 1.015, first 3 left
set label '44.0  [34.5, 53.9]' at graph 1.015, first 2 left
set label '0.0  [0.0, 7.1]' at graph 1.015, first 1 left
set format x '%g'
set xlabel 'score, % (bar), and its 95 % interval (line)'
plot 'run3-mmlu_pro-official.dat' index 1 using ($2/2):1:(0):2:($1-0.34):($1+0.34) with boxxyerror linecolor rgb '#B5C7DF' fillstyle solid 1.0 noborder notitle, \
     'run3-mmlu_pro-official.dat' index 1 using 2:1:3:4 with xerrorbars linecolor rgb '#222222' linewidth 1.4 pointtype 7 pointsize 0.5 notitle
unset label
unset arrow
unset object
unset xlabel
set lmargin at screen 0.41600
set rmargin at screen 0.81000
set tmargin at screen 0.15434
set bmargin at screen 0.11897
unset grid
set yrange [0:1]
set format x ''
set xtics scale 0
set ytics ('anatomy (n = 1170)' 0.5)
set object rectangle from first 0, 0 to first 71.2821, 1 fillcolor rgb '#009E73' fillstyle solid noborder
set object rectangle from screen 0.02000, 0.04984 to screen 0.03100, 0.06752 fillcolor rgb '#009E73' fillstyle solid noborder
set label 'right 834 (71.3 %)' at screen 0.03700, 0.05949 left
set object rectangle from first 71.2821, 0 to first 92.6496, 1 fillcolor rgb '#D55E00' fillstyle solid noborder
set object rectangle from screen 0.26000, 0.04984 to screen 0.27100, 0.06752 fillcolor rgb '#D55E00' fillstyle solid noborder
set label 'wrong 250 (21.4 %)' at screen 0.27700, 0.05949 left
set object rectangle from first 92.6496, 0 to first 96.0684, 1 fillcolor rgb '#E69F00' fillstyle solid noborder
set object rectangle from screen 0.50000, 0.04984 to screen 0.51100, 0.06752 fillcolor rgb '#E69F00' fillstyle solid noborder
set label 'truncated 40 (3.4 %)' at screen 0.51700, 0.05949 left
set object rectangle from first 96.0684, 0 to first 96.3248, 1 fillcolor rgb '#BBBBBB' fillstyle solid noborder
set object rectangle from screen 0.74000, 0.04984 to screen 0.75100, 0.06752 fillcolor rgb '#BBBBBB' fillstyle solid noborder
set label 'empty 3 (0.3 %)' at screen 0.75700, 0.05949 left
set object rectangle from first 96.3248, 0 to first 98.8889, 1 fillcolor rgb '#CC79A7' fillstyle solid noborder
set object rectangle from screen 0.02000, 0.01768 to screen 0.03100, 0.03537 fillcolor rgb '#CC79A7' fillstyle solid noborder
set label 'unparsed 30 (2.6 %)' at screen 0.03700, 0.02733 left
set object rectangle from screen 0.26000, 0.01768 to screen 0.27100, 0.03537 fillcolor rgb '#56B4E9' fillstyle solid noborder
set label 'refused 0 (0.0 %)' at screen 0.27700, 0.02733 left
set object rectangle from first 98.8889, 0 to first 99.9145, 1 fillcolor rgb '#333333' fillstyle solid noborder
set object rectangle from screen 0.50000, 0.01768 to screen 0.51100, 0.03537 fillcolor rgb '#333333' fillstyle solid noborder
set label 'error 12 (1.0 %)' at screen 0.51700, 0.02733 left
set object rectangle from first 99.9145, 0 to first 100, 1 fillcolor rgb '#F0E442' fillstyle solid noborder
set object rectangle from screen 0.74000, 0.01768 to screen 0.75100, 0.03537 fillcolor rgb '#F0E442' fillstyle solid noborder
set label 'ungraded 1 (0.1 %)' at screen 0.75700, 0.02733 left
plot NaN notitle
unset multiplot
set output

reset
set encoding utf8
set terminal pngcairo font 'DejaVu Sans,9.5' background rgb 'white' size 1000,622 noenhanced
set output 'run3-mmlu_pro-official.png'
set multiplot
set xrange [0:100]
set xtics 0, 10, 100 nomirror
set ytics scale 0 nomirror
set border 3 linecolor rgb '#888888'
set grid xtics linetype 1 linecolor rgb '#E4E4E4' back
set tics textcolor rgb '#222222'
set label 'mmlu_pro:official — Gemma 4 26B-A4B it, Q4_0' at screen 0.016, 0.96785 left font ',14'
set label 'score 71.3 %, 95 % interval 68.6 to 73.8; 1170 items × 1; run 3, model 01234567, data aaaabbbb, scorer mmlu_pro 1' at screen 0.016, 0.93248 left textcolor rgb '#444444'
set lmargin at screen 0.41600
set rmargin at screen 0.81000
set tmargin at screen 0.87460
set bmargin at screen 0.81029
set arrow from first 10, graph 0 to first 10, graph 1 nohead dashtype 2 linecolor rgb '#666666' front
set label 'guessing: 10.0' at first 10, graph 1.24 left textcolor rgb '#666666' font ',9'
set yrange [0.4:1.6]
set ytics ('all items (n = 1170)' 1)
set label '71.3  [68.6, 73.8]' at graph 1.015, first 1 left
set format x ''
plot 'run3-mmlu_pro-official.dat' index 0 using ($2/2):1:(0):2:($1-0.34):($1+0.34) with boxxyerror linecolor rgb '#7A9CC6' fillstyle solid 1.0 noborder notitle, \
     'run3-mmlu_pro-official.dat' index 0 using 2:1:3:4 with xerrorbars linecolor rgb '#222222' linewidth 1.4 pointtype 7 pointsize 0.5 notitle
unset label
unset arrow
unset object
unset xlabel
set lmargin at screen 0.41600
set rmargin at screen 0.81000
set tmargin at screen 0.79100
set bmargin at screen 0.25080
set arrow from first 10, graph 0 to first 10, graph 1 nohead dashtype 2 linecolor rgb '#666666' front
set yrange [0.4:14.6]
set ytics ('psychology (n = 1)' 14, \
  'biology (n = 120)' 13, \
  'math (n = 135)' 12, \
  'economics (n = 84)' 11, \
  'computer science (n = 41)' 10, \
  '物理学 (n = 130)' 9, \
  'business (n = 80)' 8, \
  'health (n = 82)' 7, \
  'chemistry (n = 110)' 6, \
  'other (n = 92)' 5, \
  'history and_the ''law'' of `very` long subjec… (n = 38)' 4, \
  'law (n = 110)' 3, \
  'engineering (n = 97)' 2, \
  'philosophy (n = 50)' 1)
set label '100.0  [20.7, 100.0]' at graph 1.015, first 14 left
set label '90.0  [83.3, 94.2]' at graph 1.015, first 13 left
set label '88.0  [81.4, 92.5]' at graph 1.015, first 12 left
set label '82.0  [72.4, 88.8]' at graph 1.015, first 11 left
set label '80.0  [65.4, 89.4]' at graph 1.015, first 10 left
set label '77.0  [69.1, 83.4]' at graph 1.015, first 9 left
set label '76.2  [65.9, 84.2]' at graph 1.015, first 8 left
set label '75.0  [64.7, 83.1]' at graph 1.015, first 7 left
set label '71.0  [61.9, 78.7]' at graph 1.015, first 6 left
set label '70.0  [60.0, 78.4]' at graph 1.015, first 5 left
set label '60.0  [44.2, 74.0]' at graph 1.015, first 4 left
set label '52.0  [42.8, 61.1]' at graph 1.015, first 3 left
set label '44.0  [34.5, 53.9]' at graph 1.015, first 2 left
set label '0.0  [0.0, 7.1]' at graph 1.015, first 1 left
set format x '%g'
set xlabel 'score, % (bar), and its 95 % interval (line)'
plot 'run3-mmlu_pro-official.dat' index 1 using ($2/2):1:(0):2:($1-0.34):($1+0.34) with boxxyerror linecolor rgb '#B5C7DF' fillstyle solid 1.0 noborder notitle, \
     'run3-mmlu_pro-official.dat' index 1 using 2:1:3:4 with xerrorbars linecolor rgb '#222222' linewidth 1.4 pointtype 7 pointsize 0.5 notitle
unset label
unset arrow
unset object
unset xlabel
set lmargin at screen 0.41600
set rmargin at screen 0.81000
set tmargin at screen 0.15434
set bmargin at screen 0.11897
unset grid
set yrange [0:1]
set format x ''
set xtics scale 0
set ytics ('anatomy (n = 1170)' 0.5)
set object rectangle from first 0, 0 to first 71.2821, 1 fillcolor rgb '#009E73' fillstyle solid noborder
set object rectangle from screen 0.02000, 0.04984 to screen 0.03100, 0.06752 fillcolor rgb '#009E73' fillstyle solid noborder
set label 'right 834 (71.3 %)' at screen 0.03700, 0.05949 left
set object rectangle from first 71.2821, 0 to first 92.6496, 1 fillcolor rgb '#D55E00' fillstyle solid noborder
set object rectangle from screen 0.26000, 0.04984 to screen 0.27100, 0.06752 fillcolor rgb '#D55E00' fillstyle solid noborder
set label 'wrong 250 (21.4 %)' at screen 0.27700, 0.05949 left
set object rectangle from first 92.6496, 0 to first 96.0684, 1 fillcolor rgb '#E69F00' fillstyle solid noborder
set object rectangle from screen 0.50000, 0.04984 to screen 0.51100, 0.06752 fillcolor rgb '#E69F00' fillstyle solid noborder
set label 'truncated 40 (3.4 %)' at screen 0.51700, 0.05949 left
set object rectangle from first 96.0684, 0 to first 96.3248, 1 fillcolor rgb '#BBBBBB' fillstyle solid noborder
set object rectangle from screen 0.74000, 0.04984 to screen 0.75100, 0.06752 fillcolor rgb '#BBBBBB' fillstyle solid noborder
set label 'empty 3 (0.3 %)' at screen 0.75700, 0.05949 left
set object rectangle from first 96.3248, 0 to first 98.8889, 1 fillcolor rgb '#CC79A7' fillstyle solid noborder
set object rectangle from screen 0.02000, 0.01768 to screen 0.03100, 0.03537 fillcolor rgb '#CC79A7' fillstyle solid noborder
set label 'unparsed 30 (2.6 %)' at screen 0.03700, 0.02733 left
set object rectangle from screen 0.26000, 0.01768 to screen 0.27100, 0.03537 fillcolor rgb '#56B4E9' fillstyle solid noborder
set label 'refused 0 (0.0 %)' at screen 0.27700, 0.02733 left
set object rectangle from first 98.8889, 0 to first 99.9145, 1 fillcolor rgb '#333333' fillstyle solid noborder
set object rectangle from screen 0.50000, 0.01768 to screen 0.51100, 0.03537 fillcolor rgb '#333333' fillstyle solid noborder
set label 'error 12 (1.0 %)' at screen 0.51700, 0.02733 left
set object rectangle from first 99.9145, 0 to first 100, 1 fillcolor rgb '#F0E442' fillstyle solid noborder
set object rectangle from screen 0.74000, 0.01768 to screen 0.75100, 0.03537 fillcolor rgb '#F0E442' fillstyle solid noborder
set label 'ungraded 1 (0.1 %)' at screen 0.75700, 0.02733 left
plot NaN notitle
unset multiplot
set output
