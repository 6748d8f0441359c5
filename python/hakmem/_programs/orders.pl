# Build and query nested hashes and strings; run by Perl. Deterministic: prints a few sums. Says done and waits
# for the end of its standard input.
use strict;
use warnings;

my (%cities, %words);
my $state = 42;
sub draw { my ($n) = @_; $state = ($state * 1103515245 + 12345) % 2147483648; return int($state / 65536) % $n; }
for my $order (1 .. 30000) {
    my $city = "city " . draw(97);
    my @lines = map { { article => "article " . draw(3001), count => 1 + draw(9) } } 1 .. 1 + draw(5);
    push @{ $cities{$city}{ "customer " . draw(2000) } }, { id => $order, lines => \@lines };
    $words{$_}++ for split / /, join(" ", map { "word" . draw(3000) } 1 .. 1 + draw(12));
}
my ($count, $text) = (0, "");
for my $city (sort keys %cities) {
    for my $customer (sort keys %{ $cities{$city} }) {
        for my $order (@{ $cities{$city}{$customer} }) {
            $count += $_->{count} for @{ $order->{lines} };
        }
    }
    $text .= uc($city) . ",";
    delete $cities{$city} if $count % 3 == 0;
}
print $count, " ", length($text), " ", scalar(keys %words), " ", scalar(keys %cities), "\n";
$| = 1;
print "done\n";
my @rest = <STDIN>;
